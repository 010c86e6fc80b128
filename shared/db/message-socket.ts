/**
 * The socket of a database connection without TLS. It reads into one buffer again and again and hands on whole messages
 * of Postgres's protocol: node-pg would otherwise take memory for whatever comes in, two or three times over, and giving
 * that back costs more than all else when bodies are read. What is handed on is good until the listener returns.
 */
import { Socket } from 'node:net';

/** Of each connection, for as long as it lives. */
const readBytes = 128 * 1024;
/** The code of a message and its length, which does not count the code. */
const headBytes = 5;
/** Larger memory is given back when its message is done. */
const mostKeptBytes = 512 * 1024;

export function messageSocket(): Socket {
  const messages = new WholeMessages();
  const socket = new Socket({
    onread: {
      buffer: Buffer.allocUnsafeSlow(readBytes),
      callback: (bytes, buffer) => {
        messages.push(Buffer.from(buffer.buffer, buffer.byteOffset, bytes), (whole) => void socket.emit('data', whole));
        return true;
      },
    },
  });
  return socket;
}

/** Cuts a stream between messages: one that comes in several pieces is gathered. Exported for its test. */
export class WholeMessages {
  /** The beginning of a message, of which the first `#gathered` bytes are there. */
  #partial = Buffer.alloc(0);
  #gathered = 0;
  /** Of the whole message; 0: not known yet. */
  #wanted = 0;

  push(chunk: Buffer, hear: (whole: Buffer) => void): void {
    let at = 0;
    while (this.#gathered > 0 && at < chunk.length) {
      at += this.#gather(chunk, at);
      if (this.#wanted === 0 || this.#gathered < this.#wanted) continue;
      const whole = this.#partial.subarray(0, this.#wanted);
      this.#gathered = 0;
      this.#wanted = 0;
      if (this.#partial.length > mostKeptBytes) this.#partial = Buffer.alloc(0);
      hear(whole);
    }
    const start = at;
    for (let end = endOfMessage(chunk, at); end !== 0 && end <= chunk.length; end = endOfMessage(chunk, at)) at = end;
    if (at > start) hear(chunk.subarray(start, at));
    while (at < chunk.length) at += this.#gather(chunk, at);
  }

  /** As much as the message, or its head, needs; gives how much that was. */
  #gather(chunk: Buffer, at: number): number {
    const wanted = this.#wanted === 0 ? headBytes : this.#wanted;
    const taken = Math.min(chunk.length - at, wanted - this.#gathered);
    const needed = this.#gathered + taken;
    if (this.#partial.length < needed) {
      // Whoever is no Postgres may announce any length.
      const larger = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(wanted, 2 * this.#partial.length + readBytes)));
      this.#partial.copy(larger, 0, 0, this.#gathered);
      this.#partial = larger;
    }
    chunk.copy(this.#partial, this.#gathered, at, at + taken);
    this.#gathered = needed;
    if (this.#wanted === 0) this.#wanted = endOfMessage(this.#partial.subarray(0, this.#gathered), 0);
    return taken;
  }
}

/** 0: its head is not there. */
function endOfMessage(chunk: Buffer, at: number): number {
  return at + headBytes > chunk.length ? 0 : at + 1 + chunk.readUInt32BE(at + 1);
}

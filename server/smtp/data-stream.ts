import { Readable } from 'node:stream';
import { SMTPStream } from 'smtp-server/lib/smtp-stream.js';
import type { SMTPServerDataStream } from 'smtp-server';

const cr = 13;
const lf = 10;
const dot = 46;
const crlfDot = Buffer.from('\r\n.');

/**
 * smtp-server's command and data reader with the data part written anew: it looks for line ends with
 * Buffer.indexOf instead of byte by byte, and follows RFC 5321 section 4.5.2 to the letter. Only CRLF "." CRLF ends a
 * message; a line is ended by CRLF alone, so no other form ("SMTP smuggling") can; the first dot of any other
 * line is taken away.
 */
export class DataStream extends SMTPStream {
  /** The next byte is the first of a line. */
  #atLineStart = true;
  #afterCr = false;
  /** "." or ".\r" at the start of a line: perhaps the end of the message. */
  #held: Buffer | null = null;
  /** Called before and after each piece of input; what it holds may be several commands, or the end of a message. */
  onBurst: { readonly begin: (input: Buffer, isMessage: boolean) => void; readonly end: () => void } | null = null;

  override _write(chunk: Buffer, encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.onBurst?.begin(chunk, this._dataMode);
    super._write(chunk, encoding, (error) => {
      this.onBurst?.end();
      done(error);
    });
  }

  override startDataMode(maxBytes?: number | string | null): SMTPServerDataStream {
    this.#atLineStart = true;
    this.#afterCr = false;
    this.#held = null;
    this._dataMode = true;
    this._maxBytes = Number(maxBytes) || Infinity;
    this.dataBytes = 0;
    this._atDataStart = true;
    this._dataStream = new MessageBytes() as unknown as SMTPServerDataStream;
    return this._dataStream;
  }

  /** A command that a peer didn't end before it left is none. */
  override _flushData(): void {
    this._remainder = '';
  }

  override _feedDataStream(chunk: Buffer, done: (error?: Error | null) => void): void {
    const bytes = this.#held === null ? chunk : Buffer.concat([this.#held, chunk]);
    this.#held = null;
    const pieces: Buffer[] = [];
    let from = 0;
    for (let at = this.#firstDot(bytes); at >= 0; at = nextDot(bytes, from)) {
      const follows = bytes[at + 1];
      if (follows === cr && bytes[at + 2] === lf) {
        this._endDataMode(this.#counted(pieces, bytes.subarray(from, at)), bytes.subarray(at + 3), done);
        return;
      }
      const isCut = at + 1 === bytes.length || (follows === cr && at + 2 === bytes.length);
      if (isCut) {
        // A copy: the chunk's memory would live on with it.
        this.#held = Buffer.from(bytes.subarray(at));
        this.#atLineStart = true;
        this.#emit(this.#counted(pieces, bytes.subarray(from, at)), done);
        return;
      }
      pieces.push(bytes.subarray(from, at));
      from = at + 1;
    }
    this.#noteEnd(bytes);
    this.#emit(this.#counted(pieces, bytes.subarray(from)), done);
  }

  /** The first dot of `bytes` that begins a line. */
  #firstDot(bytes: Buffer): number {
    const start = this.#atLineStart ? 0 : this.#afterCr && bytes[0] === lf ? 1 : -1;
    return start >= 0 && bytes[start] === dot ? start : nextDot(bytes, 0);
  }

  #noteEnd(bytes: Buffer): void {
    const last = bytes[bytes.length - 1];
    const before = bytes.length > 1 ? bytes[bytes.length - 2] : this.#afterCr ? cr : null;
    this.#atLineStart = last === lf && before === cr;
    this.#afterCr = last === cr;
  }

  #counted(pieces: Buffer[], rest: Buffer): Buffer {
    const bytes = pieces.length === 0 ? rest : Buffer.concat([...pieces, rest]);
    this._countDataBytes(bytes.length);
    return bytes;
  }

  /** Writes to the message's reader and waits while it is behind; one that gave up is not written to. */
  #emit(bytes: Buffer, done: (error?: Error | null) => void): void {
    const reader = this._dataStream;
    if (bytes.length === 0 || reader === null || !reader.writable || reader.write(bytes)) {
      done();
      return;
    }
    const goOn = (): void => {
      reader.off('drain', goOn);
      reader.off('close', goOn);
      done();
    };
    reader.on('drain', goOn);
    reader.on('close', goOn);
  }
}

/** All that is used of the PassThrough that the library makes for each message, which has a second buffer for nothing. */
class MessageBytes extends Readable {
  byteLength = 0;
  sizeExceeded = false;
  writableEnded = false;
  #isBehind = false;

  get writable(): boolean {
    return !this.writableEnded && !this.destroyed;
  }

  /** False: wait for `drain`. */
  write(bytes: Buffer): boolean {
    this.#isBehind = !this.push(bytes);
    return !this.#isBehind;
  }

  end(bytes?: Buffer): void {
    this.writableEnded = true;
    if (bytes !== undefined) this.push(bytes);
    this.push(null);
  }

  override _read(): void {
    if (!this.#isBehind) return;
    this.#isBehind = false;
    this.emit('drain');
  }
}

function nextDot(bytes: Buffer, from: number): number {
  const found = bytes.indexOf(crlfDot, from);
  return found < 0 ? -1 : found + 2;
}

/** Reads a Postgres client's stream, in whatever chunks, and counts the messages that it waits on. */

const query = 'Q'.charCodeAt(0);
const sync = 'S'.charCodeAt(0);
const headBytes = 5;

export class MessageCounter {
  /** Of the message that has not ended; the first one has no type. */
  readonly #head = Buffer.alloc(headBytes);
  #read = 1;
  #left = 0;

  /** How many Query and Sync messages began in this chunk. */
  hear(chunk: Buffer): number {
    let found = 0;
    for (let at = 0; at < chunk.length;) {
      if (this.#left > 0) {
        const skipped = Math.min(this.#left, chunk.length - at);
        this.#left -= skipped;
        at += skipped;
        continue;
      }
      this.#head[this.#read++] = chunk[at++] as number;
      if (this.#read < headBytes) continue;
      this.#left = this.#head.readUInt32BE(1) - 4;
      if (this.#head[0] === query || this.#head[0] === sync) found += 1;
      this.#read = 0;
    }
    return found;
  }
}

import { noBytes, type ByteFilter } from './byte-filter.ts';

const cr = 13;
const lf = 10;
const nul = 0;

/**
 * Makes CRLF of every lone CR and lone LF and drops NULs: for senders that an operator can't mend, as an option.
 * It runs after the end of data was found, so it can't be used to end a message early.
 */
export class LineNormaliser implements ByteFilter {
  /** A CR was sent as CRLF already; an LF that follows belongs to it. */
  #afterCr = false;

  push(chunk: Buffer): Buffer {
    if (this.#isClean(chunk)) return chunk;
    const out = Buffer.allocUnsafe(chunk.length * 2);
    let length = 0;
    for (const byte of chunk) {
      const followsCr = this.#afterCr;
      this.#afterCr = byte === cr;
      if (byte === nul || (byte === lf && followsCr)) continue;
      if (byte === cr || byte === lf) {
        out[length++] = cr;
        out[length++] = lf;
      } else out[length++] = byte;
    }
    return out.subarray(0, length);
  }

  finish(): Buffer {
    return noBytes;
  }

  /** Nothing to change, as in most chunks of most messages; found without copying. */
  #isClean(chunk: Buffer): boolean {
    if (this.#afterCr || chunk.includes(nul) || chunk[chunk.length - 1] === cr) return false;
    for (let at = chunk.indexOf(lf); at >= 0; at = chunk.indexOf(lf, at + 1)) {
      if (at === 0 || chunk[at - 1] !== cr) return false;
    }
    for (let at = chunk.indexOf(cr); at >= 0; at = chunk.indexOf(cr, at + 1)) {
      if (chunk[at + 1] !== lf) return false;
    }
    return true;
  }
}

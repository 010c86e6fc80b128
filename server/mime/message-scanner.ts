import { maxHeaderBytes } from '#shared/base/limits.ts';
import { GrowingBuffer } from './growing-buffer.ts';
import { LineCensus } from './line-census.ts';
import type { MessageIndex } from './part.ts';
import { PartTree } from './part-tree.ts';

const lf = 10;
const cr = 13;
const dash = 45;

/**
 * Makes a MessageIndex of a message that comes in chunks, in one pass; it holds no more than the header
 * section at hand (at most `maxHeaderBytes`), the beginning of a line, and what the index itself will hold.
 * Takes any bytes: what isn't a message has a structure too. How the bytes are cut makes no difference.
 */
export class MessageScanner {
  readonly #census = new LineCensus();
  readonly #tree = new PartTree();
  #mode: 'header' | 'body' | 'boundary-line' | 'finished' = 'header';
  /** Bytes of the message before those at hand. */
  #offset = 0;
  /** The beginning of a line that can't be judged without the next chunk. */
  #carry: Buffer | null = null;
  #headerStart = 0;
  readonly #header = new GrowingBuffer();
  /** The boundary line at hand closes its multipart, so no part follows it. */
  #closes = false;

  /** The chunk may be used again when this returns. */
  push(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.#consume(this.#carry ? Buffer.concat([this.#carry, bytes]) : bytes, false);
  }

  /** The message is complete; called once. */
  finish(): MessageIndex {
    this.#consume(this.#carry ?? Buffer.alloc(0), true);
    while (this.#mode === 'header') this.#endHeader(this.#offset);
    this.#mode = 'finished';
    this.#census.end();
    const { hasBareCr, hasBareLf, hasNul, lineFeeds } = this.#census;
    const index = this.#tree.finish({ position: this.#offset, breakBytes: 0, lineFeeds });
    return { ...index, hasBareCr, hasBareLf, hasNul };
  }

  #consume(bytes: Buffer, isLast: boolean): void {
    if (this.#mode === 'finished') throw new Error('the scanner has finished');
    this.#carry = null;
    let at = 0;
    while (at < bytes.length) {
      const next = this.#step(bytes, at, isLast);
      if (next === null) {
        this.#carry = Buffer.from(bytes.subarray(at));
        break;
      }
      at = next;
    }
    this.#offset += at;
  }

  /** Goes on from `at` to where something is to be decided; null where that takes more bytes. */
  #step(bytes: Buffer, at: number, isLast: boolean): number | null {
    if (this.#mode === 'boundary-line') return this.#passBoundaryLine(bytes, at);
    if (this.#census.atLineStart) {
      const first = bytes[at];
      if (first === dash && this.#tree.longestBoundary > 0) {
        const judged = this.#judgeDashes(bytes, at, isLast);
        if (judged !== 'no-boundary') return judged;
      } else if (this.#mode === 'header' && (first === cr || first === lf)) {
        if (first === cr && at + 1 === bytes.length && !isLast) return null;
        if (first === lf || bytes[at + 1] === lf) return this.#passEmptyLine(bytes, at, first === lf ? 1 : 2);
      }
    }
    if (this.#mode === 'header') return this.#passHeaderLines(bytes, at);
    return this.#census.scan(bytes, at, bytes.length, this.#tree.longestBoundary > 0 ? 'dash' : 'end');
  }

  #passHeaderLines(bytes: Buffer, at: number): number {
    const limit = at + maxHeaderBytes - this.#header.length;
    const next = this.#census.scan(bytes, at, Math.min(bytes.length, limit), 'dash-or-empty');
    this.#header.append(bytes.subarray(at, next));
    if (next === limit) this.#endHeader(this.#offset + next);
    return next;
  }

  #passEmptyLine(bytes: Buffer, at: number, length: number): number {
    const next = this.#census.scan(bytes, at, at + length, 'end');
    this.#endHeader(this.#offset + next);
    return next;
  }

  #endHeader(bodyStart: number): void {
    const header = this.#header.drain();
    this.#mode = this.#tree.beginBody(header, this.#headerStart, bodyStart, this.#census.lineFeeds);
    this.#headerStart = bodyStart;
  }

  /** The line at `at` begins with a dash: a boundary, an ordinary line, or null where that can't be told yet. */
  #judgeDashes(bytes: Buffer, at: number, isLast: boolean): number | null | 'no-boundary' {
    // Two dashes, the boundary, two more that close it, CRLF.
    const enough = this.#tree.longestBoundary + 6;
    const known = bytes.subarray(at, at + enough);
    const feed = known.indexOf(lf);
    if (known.length > 1 && known[1] !== dash) return 'no-boundary';
    if (feed < 0 && known.length < enough && !isLast) return null;
    const isWhole = feed >= 0 || known.length < enough;
    const end = feed < 0 ? known.length : feed;
    const line = known.subarray(2, Math.max(2, known[end - 1] === cr && isWhole ? end - 1 : end));
    const match = this.#tree.findBoundary(line, isWhole);
    if (match === null) return 'no-boundary';
    const position = this.#offset + at;
    // A boundary in a header ends it, and the part with it.
    while (this.#mode === 'header') this.#endHeader(position);
    const { lastBreakBytes: breakBytes, lineFeeds } = this.#census;
    this.#tree.endAtBoundary(match, { position, breakBytes, lineFeeds });
    this.#mode = 'boundary-line';
    this.#closes = match.closes;
    return this.#passBoundaryLine(bytes, at);
  }

  /** RFC 2046 section 5.1.1: what follows the boundary in its line is padding. */
  #passBoundaryLine(bytes: Buffer, at: number): number {
    const feed = bytes.indexOf(lf, at);
    const next = feed < 0 ? bytes.length : feed + 1;
    this.#census.scan(bytes, at, next, 'end');
    if (feed >= 0) {
      this.#mode = this.#closes ? 'body' : 'header';
      this.#headerStart = this.#offset + next;
    }
    return next;
  }
}

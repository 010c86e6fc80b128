import { createHash } from 'node:crypto';

/** A line that is longer is hashed in pieces. */
const maxHeldLength = 64 * 1024;

/** The body hash of RFC 6376 section 3.7 with the relaxed canonicalisation of section 3.4.4. Bytes come in any pieces. */
export class RelaxedBody {
  readonly #hash = createHash('sha256');
  /** The present line, as far as it has come. Latin-1 keeps each byte as it is. */
  #held = '';
  /** Line breaks that count only where something follows. */
  #breaks = 0;
  #isEmpty = true;

  push(chunk: Buffer): void {
    const text = this.#held + chunk.toString('latin1');
    const end = text.lastIndexOf('\r\n') + 2;
    if (end > 1) this.#lines(text.slice(0, end));
    this.#held = end > 1 ? text.slice(end) : text;
    if (this.#held.length <= maxHeldLength) return;
    // White space at the end may go on, or turn out to be the end of the line; however long, it counts as one blank.
    const hasCr = this.#held.endsWith('\r');
    const textEnd = this.#held.length - (hasCr ? 1 : 0);
    let cut = textEnd;
    while (cut > 0 && isBlank(this.#held.charCodeAt(cut - 1))) cut--;
    if (cut > 0) this.#emit(reduce(this.#held.slice(0, cut)));
    this.#held = `${cut < textEnd ? ' ' : ''}${hasCr ? '\r' : ''}`;
  }

  /** In base64. */
  digest(): string {
    const rest = reduce(this.#held).replace(/ $/, '');
    if (rest !== '') this.#emit(rest);
    if (!this.#isEmpty) this.#hash.update('\r\n');
    return this.#hash.digest('base64');
  }

  #lines(text: string): void {
    const reduced = reduce(text).replaceAll(' \r\n', '\r\n');
    let end = reduced.length;
    while (end > 0 && reduced.startsWith('\r\n', end - 2)) end -= 2;
    if (end > 0) this.#emit(reduced.slice(0, end));
    this.#breaks += (reduced.length - end) / 2;
  }

  #emit(text: string): void {
    if (this.#breaks > 0) this.#hash.update('\r\n'.repeat(this.#breaks));
    this.#breaks = 0;
    this.#isEmpty = false;
    this.#hash.update(text, 'latin1');
  }
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}

/** A blank alone is left as it is: most are. */
function reduce(text: string): string {
  return text.replaceAll(/[ \t]{2,}|\t/g, ' ');
}

/**
 * Many short lines as bytes: of a hundred thousand, strings would take longer to put together than the database needs to
 * find them. Its memory is used again by the next.
 */
import { giveOutputBuffer, takeOutputBuffer } from '#server/wire/output-buffers.ts';

/** Longer texts are better copied in one go. */
const shortText = 24;
const mostDigits = 10;
const [zero, ten] = [48, 10];

export class LineBuffer implements Disposable {
  readonly #own = takeOutputBuffer();
  #bytes = this.#own;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** What was put; good until `clear`. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  /** A binary string: a code unit below 256 is a byte. */
  text(value: string): void {
    const { length } = value;
    this.#makeRoom(length);
    if (length > shortText) this.#bytes.write(value, this.#length, 'latin1');
    else for (let i = 0; i < length; i++) this.#bytes[this.#length + i] = value.charCodeAt(i);
    this.#length += length;
  }

  /** In decimal; a whole number from 0 on. */
  number(value: number): void {
    if (value >= ten ** mostDigits) return this.text(String(value));
    this.#makeRoom(mostDigits);
    let digits = 1;
    for (let limit = ten; value >= limit; limit *= ten) digits += 1;
    let rest = value;
    for (let at = this.#length + digits - 1; at >= this.#length; at--) {
      const next = Math.floor(rest / ten);
      this.#bytes[at] = zero + rest - next * ten;
      rest = next;
    }
    this.#length += digits;
  }

  [Symbol.dispose](): void {
    giveOutputBuffer(this.#own);
  }

  #makeRoom(bytes: number): void {
    const needed = this.#length + bytes;
    if (needed <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#bytes.length));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}

/** Room that is kept between commands, in bytes; what a long command needed beyond is given back. */
const keptBytes = 4096;

/** A buffer that grows by doubling: gathering n bytes one by one costs O(n), and no chunk is held for a few bytes. */
export class GatheredBytes {
  #bytes = Buffer.alloc(0);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  append(chunk: Buffer): void {
    const needed = this.#length + chunk.length;
    if (needed > this.#bytes.length) {
      const grown = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2, 256));
      this.#bytes.copy(grown, 0, 0, this.#length);
      this.#bytes = grown;
    }
    chunk.copy(this.#bytes, this.#length);
    this.#length = needed;
  }

  /** The byte at `index`; undefined outside. */
  at(index: number): number | undefined {
    return index < this.#length ? this.#bytes[index] : undefined;
  }

  /** Bytes `start` to `end` (exclusive), one code unit a byte. */
  latin1(start: number, end: number): string {
    return this.#bytes.toString('latin1', start, end);
  }

  /** A copy of the bytes `start` to `end` (exclusive). */
  copy(start: number, end: number): Buffer {
    return Buffer.from(this.#bytes.subarray(start, end));
  }

  clear(): void {
    if (this.#bytes.length > keptBytes) this.#bytes = Buffer.alloc(0);
    this.#length = 0;
  }
}

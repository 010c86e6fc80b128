/** Collects bytes in one buffer that doubles as needed. */
export class GrowingBuffer {
  #bytes = Buffer.alloc(0);
  length = 0;

  append(bytes: Uint8Array): void {
    const needed = this.length + bytes.length;
    if (needed > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, this.#bytes.length * 2, 1024));
      this.#bytes.copy(larger, 0, 0, this.length);
      this.#bytes = larger;
    }
    this.#bytes.set(bytes, this.length);
    this.length = needed;
  }

  /** The bytes from `start` on, not copied: good until the next call. */
  view(start = 0): Buffer {
    return this.#bytes.subarray(start, this.length);
  }

  /** All bytes as a binary string; the buffer is empty and small again. */
  drain(): string {
    const text = this.#bytes.toString('latin1', 0, this.length);
    this.#bytes = Buffer.alloc(0);
    this.length = 0;
    return text;
  }
}

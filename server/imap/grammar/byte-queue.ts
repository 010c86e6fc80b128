/**
 * Bytes that have arrived and were not looked at yet, in the chunks they came in. Chunks are not copied.
 * Each operation takes time proportional to what it removes.
 */
export class ByteQueue {
  #chunks: Buffer[] = [];
  /** Chunks before this one are used up. */
  #first = 0;
  /** Bytes of the first chunk that are used up. */
  #used = 0;

  push(chunk: Buffer): void {
    if (chunk.length > 0) this.#chunks.push(chunk);
  }

  /** What is left of the first chunk, never empty; null when the queue is. */
  head(): Buffer | null {
    const chunk = this.#chunks[this.#first];
    if (!chunk) return null;
    return this.#used === 0 ? chunk : chunk.subarray(this.#used);
  }

  /** Removes `count` bytes of the first chunk, at most all of it. */
  drop(count: number): void {
    const chunk = this.#chunks[this.#first];
    if (!chunk) return;
    this.#used += count;
    if (this.#used < chunk.length) return;
    this.#used = 0;
    this.#first++;
    // Moving the rest down only when it is the smaller half keeps many small chunks linear.
    if (this.#first * 2 >= this.#chunks.length) {
      this.#chunks.splice(0, this.#first);
      this.#first = 0;
    }
  }

  clear(): void {
    this.#chunks = [];
    this.#first = 0;
    this.#used = 0;
  }
}

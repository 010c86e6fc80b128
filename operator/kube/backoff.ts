/** Waits that grow from one failure to the next, with jitter so that many who failed together do not return together. */
export class Backoff {
  readonly #firstMs: number;
  readonly #longestMs: number;
  readonly #random: () => number;
  #failures = 0;

  constructor(firstMs: number, longestMs: number, random: () => number = Math.random) {
    this.#firstMs = firstMs;
    this.#longestMs = longestMs;
    this.#random = random;
  }

  /** How often in a row it failed. */
  get failures(): number {
    return this.#failures;
  }

  /** Milliseconds to wait after one more failure: between a half and the whole of the grown wait. */
  next(): number {
    const waitMs = backoffMs(this.#failures, this.#firstMs, this.#longestMs);
    this.#failures += 1;
    return waitMs * (0.5 + this.#random() / 2);
  }

  reset(): void {
    this.#failures = 0;
  }
}

/** The wait after `failures` earlier ones, without jitter. */
export function backoffMs(failures: number, firstMs: number, longestMs: number): number {
  return Math.min(longestMs, firstMs * 2 ** Math.min(failures, 30));
}

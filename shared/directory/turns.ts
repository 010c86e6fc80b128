/** Lets at most `most` tasks run at a time; the others wait their turn, first come first served. */
export class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(most: number) {
    this.#free = most;
  }

  async take<T>(task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await task();
    } finally {
      // The turn goes straight to who waited longest, so that no newcomer overtakes.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}

/**
 * The turns of all password hashing. It runs on the thread pool of libuv, which files and name look-ups need too;
 * of its four threads two are never taken by passwords.
 */
export const hashingTurns = new Turns(2);

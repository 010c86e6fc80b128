/**
 * Calls that come while one is under way go together in the next: many lanes of the queue, or messages that come in, share
 * the statements, and the commits, of one process.
 */
type Waiting<T, R> = { readonly item: T; readonly settle: PromiseWithResolvers<R> };

export class Gathered<T, R> {
  readonly #most: number;
  readonly #work: (items: readonly T[]) => Promise<readonly R[]>;
  readonly #waiting: Waiting<T, R>[] = [];
  #running: Promise<void> | null = null;

  /** `work` gets at most `most` items and resolves with one result each. */
  constructor(most: number, work: (items: readonly T[]) => Promise<readonly R[]>) {
    this.#most = most;
    this.#work = work;
  }

  add(item: T): Promise<R> {
    const settle = Promise.withResolvers<R>();
    this.#waiting.push({ item, settle });
    this.#running ??= this.#run();
    return settle.promise;
  }

  /** Resolves when nothing is under way any more. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  async #run(): Promise<void> {
    await new Promise(setImmediate);
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, this.#most);
      try {
        const results = await this.#work(batch.map(({ item }) => item));
        for (const [at, { settle }] of batch.entries()) settle.resolve(results[at] as R);
      } catch (error) {
        for (const { settle } of batch) settle.reject(error);
      }
    }
    this.#running = null;
  }
}

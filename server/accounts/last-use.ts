import type { Clock } from '#shared/base/clock.ts';
import type { Logger } from '#shared/observe/logger.ts';

const writeEveryMs = 60_000;

/** Writes when credentials were used last: once a minute, so that logging in costs no write. */
export class LastUse<Key> implements AsyncDisposable {
  readonly #store: (keys: readonly Key[], at: Date) => Promise<void>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #used = new Map<string, Key>();
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> = Promise.resolve();

  constructor(store: (keys: readonly Key[], at: Date) => Promise<void>, clock: Clock, logger: Logger) {
    this.#store = store;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** `name` tells it from the others. */
  note(name: string, key: Key): void {
    this.#used.set(name, key);
    this.#timer ??= setTimeout(() => {
      this.#writing = this.#write();
    }, writeEveryMs).unref();
  }

  async #write(): Promise<void> {
    this.#timer = null;
    const keys = [...this.#used.values()];
    this.#used = new Map();
    if (keys.length === 0) return;
    try {
      await this.#store(keys, this.#clock.now());
    } catch (error) {
      // Nobody waits for it, and the next use writes it again.
      this.#logger.warn({ event: 'auth.last-use-lost', count: keys.length, err: error }, 'last use was not written');
    }
  }

  /** Writes what is left. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#timer) clearTimeout(this.#timer);
    await this.#writing;
    await this.#write();
  }
}

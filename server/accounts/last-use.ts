import type { Clock } from '#shared/base/clock.ts';
import type { CredentialKey, LoginDirectory } from '#shared/directory/logins.ts';
import type { Logger } from '#shared/observe/logger.ts';

const writeEveryMs = 60_000;

/** Writes when credentials were used last: once a minute, so that logging in costs no write. */
export class LastUse implements AsyncDisposable {
  readonly #directory: LoginDirectory;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #used = new Map<string, CredentialKey>();
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> = Promise.resolve();

  constructor(directory: LoginDirectory, clock: Clock, logger: Logger) {
    this.#directory = directory;
    this.#clock = clock;
    this.#logger = logger;
  }

  note(key: CredentialKey): void {
    this.#used.set(`${key.accountId} ${key.id}`, key);
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
      await this.#directory.noteUse(keys, this.#clock.now());
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

/** Tells workers, of this process and others, that something was queued. Only a hint: they look now and then anyway. */
import type { PostgresDatabase } from '#shared/db/client.ts';
import { listen, Notifier } from '#shared/db/listen.ts';

export const outboundChannel = 'outbound';
/** While mail pours in, one hint stands for many. */
const pauseMs = 50;

export class QueueWake implements AsyncDisposable {
  readonly #notifier: Notifier;
  readonly #database: PostgresDatabase;
  readonly #onError: (error: unknown) => void;
  readonly #listeners = new Set<() => void>();
  #listening: AsyncDisposable | null = null;
  #sending: Promise<void> | null = null;
  #isAgain = false;

  constructor(database: PostgresDatabase, onError: (error: unknown) => void) {
    this.#database = database;
    this.#notifier = new Notifier(database, outboundChannel);
    this.#onError = onError;
  }

  /** Something was committed. */
  tell(): void {
    this.#wake();
    if (this.#sending) this.#isAgain = true;
    else this.#sending = this.#send();
  }

  /** Until disposed of. */
  subscribe(woken: () => void): Disposable {
    this.#listeners.add(woken);
    const wake = (): void => this.#wake();
    this.#listening ??= listen({
      database: this.#database,
      channel: outboundChannel,
      listener: { heard: wake, gap: wake },
      onError: this.#onError,
    });
    return { [Symbol.dispose]: () => void this.#listeners.delete(woken) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isAgain = false;
    await this.#listening?.[Symbol.asyncDispose]();
    await this.#sending;
    await this.#notifier[Symbol.asyncDispose]();
  }

  #wake(): void {
    for (const woken of this.#listeners) woken();
  }

  async #send(): Promise<void> {
    do {
      this.#isAgain = false;
      try {
        await this.#notifier.send(['']);
      } catch (error) {
        this.#onError(error);
      }
      await new Promise((resolve) => setTimeout(resolve, pauseMs).unref());
    } while (this.#isAgain);
    this.#sending = null;
  }
}

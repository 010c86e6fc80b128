import type { Logger } from '#shared/observe/logger.ts';

export type RereadingOptions = {
  /** For the log. */
  readonly what: string;
  readonly logger: Logger;
  readonly everyMs: number;
  readonly read: () => Promise<void>;
};

/** Does something every few seconds, one after the other, until it is disposed of. What fails is logged once in a row. */
export class Rereading implements AsyncDisposable {
  readonly #options: RereadingOptions;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> = Promise.resolve();
  #isFailing = false;
  #isStopped = false;

  constructor(options: RereadingOptions) {
    this.#options = options;
  }

  /** The first time; rejects when it fails, and then nothing more is done. */
  async start(): Promise<void> {
    await this.#options.read();
    this.#again();
  }

  /** Rejects when it fails; the next time comes all the same. */
  async now(): Promise<void> {
    await this.#running;
    await this.#options.read();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    await this.#running;
  }

  #again(): void {
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => {
      this.#running = this.#run();
    }, this.#options.everyMs).unref();
  }

  async #run(): Promise<void> {
    const { what, logger, read } = this.#options;
    try {
      await read();
      this.#isFailing = false;
    } catch (error) {
      const event = 'store.reread-failed';
      if (!this.#isFailing) logger.warn({ event, what, err: error }, 'what was read before stays in use');
      this.#isFailing = true;
    }
    this.#again();
  }
}

/** The life of a running postmaster: started again when it dies, stopped when we stop. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '#shared/observe/logger.ts';

const watchEveryMs = 500;
const stopTimeoutMs = 60_000;

/**
 * Looks twice a second whether the process lives; it may be one that an earlier, killed program started, so
 * there is no exit event to wait for. A dead one is started again until that works.
 */
export class Postmaster {
  #pid: number;
  readonly #start: () => Promise<number>;
  readonly #logger: Logger;
  readonly #stopping = new AbortController();
  readonly #watching: Promise<void>;

  constructor(pid: number, start: () => Promise<number>, logger: Logger) {
    this.#pid = pid;
    this.#start = start;
    this.#logger = logger;
    this.#watching = this.#watch();
  }

  get pid(): number {
    return this.#pid;
  }

  /** SIGINT is Postgres's fast shutdown: clients are cut, everything committed is written. 60 s at most. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#watching;
    const deadline = performance.now() + stopTimeoutMs;
    signal(this.#pid, 'SIGINT');
    while (signal(this.#pid, 0)) {
      if (performance.now() > deadline) {
        this.#logger.error({ pid: this.#pid }, 'embedded Postgres did not stop in time; it recovers at the next start');
        return;
      }
      await sleep(20);
    }
  }

  async #watch(): Promise<void> {
    const { signal: stopping } = this.#stopping;
    while (!stopping.aborted) {
      await sleep(watchEveryMs, undefined, { signal: stopping, ref: false }).catch(() => undefined); // Woken to stop.
      if (stopping.aborted || signal(this.#pid, 0)) continue;
      this.#logger.error({ pid: this.#pid }, 'embedded Postgres has died; starting it again');
      try {
        this.#pid = await this.#start();
      } catch (error) {
        // Backends of the dead one may still hold its shared memory for a moment.
        this.#logger.error({ err: error }, 'embedded Postgres does not start yet');
      }
    }
  }
}

function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    process.kill(pid, name);
    return true;
  } catch {
    return false; // ESRCH: it has ended.
  }
}

/**
 * The time for which this worker may hold what it has in hand. The database gives it with each heartbeat; here it is
 * counted by the monotonic clock from before the heartbeat was sent, so that it ends here before it ends there.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '#shared/base/clock.ts';
import type { OutboundQueue } from '#server/mail/outbound-queue.ts';

export type LeaseOptions = {
  readonly queue: Pick<OutboundQueue, 'heartbeat'>;
  readonly clock: Clock;
  /** Of the queue. */
  readonly leaseSeconds: number;
  readonly onError: (error: unknown) => void;
};

/** Of the lease: what clocks may differ by, and the way of the final dot. */
const margin = 0.2;
/** Heartbeats in one lease. */
const beats = 5;

export class Lease {
  readonly #options: LeaseOptions;
  readonly #abort = new AbortController();
  readonly #lost = new AbortController();
  /** By the monotonic clock. */
  #validUntil = -Infinity;
  #answeringSince: number | null = null;
  #running: Promise<void> | null = null;

  constructor(options: LeaseOptions) {
    this.#options = options;
  }

  /** Aborts when the queue gave this worker up. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  isValid(): boolean {
    return !this.#lost.signal.aborted && this.#options.clock.monotonicMs() < this.#validUntil;
  }

  /**
   * The database has answered for a whole lease without a pause: whoever else is alive has been heard of by now. After
   * an outage others first come back to write what became of their messages.
   */
  get mayReap(): boolean {
    return this.#answeringSince !== null && this.#options.clock.monotonicMs() - this.#answeringSince > this.#leaseMs;
  }

  /** `enteredAt`: by the monotonic clock, before the worker was made known. */
  start(enteredAt: number): void {
    this.#extend(enteredAt);
    this.#running ??= this.#run();
  }

  /** No more heartbeats. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  get #leaseMs(): number {
    return this.#options.leaseSeconds * 1000;
  }

  #extend(from: number): void {
    const { clock } = this.#options;
    // Between two heartbeats it was away for too long to say that it was there.
    if (this.#answeringSince === null || from > this.#validUntil) this.#answeringSince = clock.monotonicMs();
    this.#validUntil = from + this.#leaseMs * (1 - margin);
  }

  async #run(): Promise<void> {
    const { queue, clock, onError } = this.#options;
    const { signal } = this.#abort;
    for (let pause = this.#leaseMs / beats; !signal.aborted;) {
      await sleep(pause, undefined, { signal, ref: false }).catch(() => undefined);
      if (signal.aborted) return;
      const from = clock.monotonicMs();
      try {
        if (!(await queue.heartbeat())) {
          this.#lost.abort();
          return;
        }
        this.#extend(from);
        pause = this.#leaseMs / beats;
      } catch (error) {
        this.#answeringSince = null;
        onError(error);
        pause = Math.min(1000, this.#leaseMs / beats);
      }
    }
  }
}

/** Requests a second, so that a burst of changes does not crowd out others at the API server. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '#shared/base/clock.ts';

export class RateLimiter {
  readonly #perMs: number;
  readonly #burst: number;
  readonly #clock: Clock;
  /** Below zero: that many have their turn reserved already. */
  #tokens: number;
  #filledAt: number;

  /** `burst` at once after a rest, `perSecond` in the long run. */
  constructor(perSecond: number, burst: number, clock: Clock) {
    this.#perMs = perSecond / 1000;
    this.#burst = burst;
    this.#clock = clock;
    this.#tokens = burst;
    this.#filledAt = clock.monotonicMs();
  }

  /** Milliseconds until the caller's turn, which is reserved. Turns come in the order of the calls. */
  reserve(): number {
    const now = this.#clock.monotonicMs();
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#filledAt) * this.#perMs);
    this.#filledAt = now;
    this.#tokens -= 1;
    return this.#tokens >= 0 ? 0 : -this.#tokens / this.#perMs;
  }

  /** Waits for the caller's turn. */
  async turn(signal?: AbortSignal): Promise<void> {
    const waitMs = this.reserve();
    if (waitMs > 0) await delay(waitMs, undefined, signal ? { signal } : {});
  }
}

import type { Clock } from '#shared/base/clock.ts';

/** Failures in a row until nothing is tried for a while. */
const failuresToOpen = 3;
const firstRestMs = 15_000;
const longestRestMs = 10 * 60_000;
/** Names remembered; those that failed longest ago are forgotten. */
const maxNames = 10_000;

type State = { readonly failures: number; readonly openUntilMs: number };

/**
 * Remembers what can't be reached, so that it is not waited for each time. After a rest one try is let through;
 * while it fails the rests double.
 */
export class Breaker {
  readonly #clock: Clock;
  readonly #states = new Map<string, State>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  isOpen(name: string): boolean {
    return this.restMs(name) > 0;
  }

  /** Until the next try, in ms; 0: now. */
  restMs(name: string): number {
    return Math.max(0, (this.#states.get(name)?.openUntilMs ?? 0) - this.#clock.monotonicMs());
  }

  succeeded(name: string): void {
    this.#states.delete(name);
  }

  failed(name: string): void {
    const failures = (this.#states.get(name)?.failures ?? 0) + 1;
    const rests = failures - failuresToOpen;
    const restMs = rests < 0 ? 0 : Math.min(longestRestMs, firstRestMs * 2 ** rests);
    this.#states.delete(name);
    this.#states.set(name, { failures, openUntilMs: restMs === 0 ? 0 : this.#clock.monotonicMs() + restMs });
    for (const oldest of this.#states.keys()) {
      if (this.#states.size <= maxNames) break;
      this.#states.delete(oldest);
    }
  }
}

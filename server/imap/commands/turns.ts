import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '#shared/base/clock.ts';

/** How long a command works without a pause, in ms. */
const longestTurnMs = 10;

/** Lets other sessions have their turn while a command has much to work out: what waits for nothing yields to nobody. */
export class Turns {
  readonly #clock: Clock;
  #endsAt: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#endsAt = clock.monotonicMs() + longestTurnMs;
  }

  /** To be called between two pieces of work of a few milliseconds; null: go on. */
  pause(): Promise<void> | null {
    return this.#clock.monotonicMs() < this.#endsAt ? null : this.#yield();
  }

  async #yield(): Promise<void> {
    await nextTurn();
    this.#endsAt = this.#clock.monotonicMs() + longestTurnMs;
  }
}

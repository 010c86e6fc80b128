import { setImmediate as nextTurn } from 'node:timers/promises';

/** Longest time that one piece of work keeps the rest of the process waiting, when it asks often enough. */
const turnMs = 10;

/** For long work that never waits for anything: lets sockets and timers have their turn. */
export class FairTurns {
  #since = performance.now();

  /** Call it every few milliseconds of work. Rejects with the signal's reason when it aborts. */
  async pause(signal: AbortSignal): Promise<void> {
    if (performance.now() - this.#since >= turnMs) {
      await nextTurn();
      this.#since = performance.now();
    }
    signal.throwIfAborted();
  }
}

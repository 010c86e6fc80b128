/** Time, injected so that tests decide it. */
export interface Clock {
  /** The present moment. */
  now(): Date;
  /** Milliseconds that only ever grow, for durations. */
  monotonicMs(): number;
}

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
};

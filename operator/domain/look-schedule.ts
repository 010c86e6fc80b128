/** When a domain's DNS is looked at. It stands in the status, so that a restart asks nobody anew. Pure. */

export type LookSchedule = {
  readonly lastTime: Date;
  readonly nextTime: Date;
};

const firstWaitMs = 15_000;
/** Times are spread by a tenth. */
const longestFactor = 1.1;
/** Who waits for a record to be seen is not to wait longer than that. */
const longestWaitMs = 10 * 60_000;

/**
 * After a look at `now`. `isSettled`: nothing is awaited any more. Else it is looked again soon, and less and less often
 * while nothing changes. `random` is in 0 to 1: many domains are not looked at all at once.
 */
export function nextLook(
  now: Date,
  before: LookSchedule | null,
  {
    isSettled,
    isSame,
    everySeconds,
    random,
  }: {
    readonly isSettled: boolean;
    /** As at the look before. */
    readonly isSame: boolean;
    readonly everySeconds: number;
    readonly random: number;
  },
): LookSchedule {
  const everyMs = everySeconds * 1000;
  const lastWaitMs = before && isSame ? before.nextTime.getTime() - before.lastTime.getTime() : 0;
  const soonMs = Math.min(everyMs, longestWaitMs, Math.max(firstWaitMs, lastWaitMs * 2));
  const waitMs = (isSettled ? everyMs : soonMs) * (2 - longestFactor + random * 2 * (longestFactor - 1));
  return { lastTime: now, nextTime: new Date(now.getTime() + Math.max(1_000, waitMs)) };
}

/** 0: now. Sooner than was set where it is to be looked more often than then. */
export function dueInMs({ lastTime, nextTime }: LookSchedule, now: Date, everySeconds: number): number {
  const latestMs = lastTime.getTime() + everySeconds * 1000 * longestFactor;
  return Math.max(0, Math.min(nextTime.getTime(), latestMs) - now.getTime());
}

/** Null: the status has none that makes sense. */
export function readSchedule(
  check: { readonly lastTime?: string; readonly nextTime?: string } | undefined,
): LookSchedule | null {
  const lastTime = new Date(check?.lastTime ?? Number.NaN);
  const nextTime = new Date(check?.nextTime ?? Number.NaN);
  return nextTime >= lastTime ? { lastTime, nextTime } : null;
}

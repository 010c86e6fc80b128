import type { RunResult } from './directory-runner.ts';

/** What could not be done is tried again though nothing changed. */
const retryMs = { nothing: Infinity, 'for-now': 1_000, something: 60_000 } as const;
/**
 * What was due before this comparison and is not done can't be done now (its resource is paused or has a fault, the
 * database's clock is another): it is looked at again after so long, not at once.
 */
const overdueMs = 60_000;

/** How long nothing needs to be done after a comparison that left nothing to be done at once, in ms. At least 1. */
export function restMs({ failed, dueAt }: Pick<RunResult, 'failed' | 'dueAt'>, now: Date, sweepMs: number): number {
  const untilDue = dueAt === null ? sweepMs : dueAt.getTime() - now.getTime();
  return Math.max(1, Math.min(sweepMs, untilDue > 0 ? untilDue : overdueMs, retryMs[failed]));
}

const firstRepeatMs = 50;
const longestRepeatMs = 60_000;

/**
 * How long to wait before what was done is done once more, in ms, after it was done over again `times` times in a row: a
 * trigger that undoes it, or a plan that doesn't come to its end, is not to be followed at full speed.
 */
export function repeatMs(times: number): number {
  return Math.min(longestRepeatMs, firstRepeatMs * 2 ** (times - 1));
}

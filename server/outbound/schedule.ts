/**
 * When a recipient is tried again, and when its sender hears of the delay. Pure: time and chance come from outside.
 *
 * Quick at first, for greylisting and servers that restart; then rarer. All times count from the attempt that failed.
 */

const minute = 60_000;
const hour = 60 * minute;

const delaysMs = [minute, 5 * minute, 15 * minute, 30 * minute, hour, 2 * hour, 4 * hour] as const;
const lastDelayMs = 6 * hour;
/** Of the delay, to both sides, so that what failed together does not come back together. */
const jitter = 0.2;

/** RFC 5321 section 4.5.4.1 asks for four to five days at least. */
export const defaultExpiryMs = 5 * 24 * hour;

/** Ages at which the sender is told that the message has not arrived yet. */
const delayNoticeAgesMs = [4 * hour, 24 * hour] as const;

/** A peer may ask us to come later, but not for ever. */
const longestAskedMs = 24 * hour;

export type RetryFacts = {
  /** The end of the attempt. */
  readonly now: Date;
  /** Attempts so far, this one included; 1 or more. */
  readonly attempts: number;
  readonly expiresAt: Date;
  /** A time that the peer named. */
  readonly notBefore: Date | null;
  /** 0 to 1. */
  readonly random: number;
};

/** The next attempt; null: there is none, the recipient has failed. The last one is not long before the expiry. */
export function nextAttempt({ now, attempts, expiresAt, notBefore, random }: RetryFacts): Date | null {
  if (now >= expiresAt) return null;
  const base = delaysMs[attempts - 1] ?? lastDelayMs;
  const delay = base * (1 - jitter + 2 * jitter * random);
  const asked = notBefore === null ? 0 : Math.min(notBefore.getTime() - now.getTime(), longestAskedMs);
  const next = now.getTime() + Math.max(delay, asked);
  // A last try just before the end is better than an end that comes a delay early.
  return new Date(Math.min(next, Math.max(now.getTime() + minute, expiresAt.getTime() - minute)));
}

/** Which delay notice is due, counted from 1; null: none that was not sent. */
export function delayNoticeDue(acceptedAt: Date, now: Date, sent: number): number | null {
  const age = now.getTime() - acceptedAt.getTime();
  const due = delayNoticeAgesMs.filter((each) => age >= each).length;
  return due > sent ? due : null;
}

const hostDelaysMs = [minute, 2 * minute, 5 * minute, 10 * minute, 20 * minute, 30 * minute] as const;

/** How long nothing goes to a next hop that can't be reached or blocks us, the `times`-th time in a row (from 1). */
export function hostPauseMs(times: number, random: number): number {
  const base = hostDelaysMs[Math.min(times, hostDelaysMs.length) - 1] ?? minute;
  return Math.round(base * (1 - jitter + 2 * jitter * random));
}

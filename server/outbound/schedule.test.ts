import fc from 'fast-check';
import { expect, test } from 'vitest';
import { defaultExpiryMs, delayNoticeDue, hostPauseMs, nextAttempt } from './schedule.ts';

const minute = 60_000;
const hour = 60 * minute;
const start = new Date('2026-03-10T12:00:00Z');

/** The attempts of a message that is refused each time, in minutes from its acceptance. */
function attemptsOf(random: () => number, expiryMs = defaultExpiryMs): readonly number[] {
  const expiresAt = new Date(start.getTime() + expiryMs);
  const attempts: number[] = [];
  for (let now: Date | null = start; now !== null;) {
    attempts.push((now.getTime() - start.getTime()) / minute);
    now = nextAttempt({ now, attempts: attempts.length, expiresAt, notBefore: null, random: random() });
  }
  return attempts;
}

test('without chance: 1, 5, 15, 30 minutes, 1, 2, 4 hours, then every 6, and once more before the end', () => {
  const attempts = attemptsOf(() => 0.5);
  const delays = attempts.slice(1).map((at, i) => at - (attempts[i] ?? 0));
  expect(delays.slice(0, 9)).toEqual([1, 5, 15, 30, 60, 120, 240, 360, 360]);
  expect(attempts.at(-2)).toBe(5 * 24 * 60 - 1);
  expect(attempts.length).toBeLessThan(30);
});

test('each delay is within a fifth of the schedule, none is less than 48 seconds, and all ends soon after the expiry', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1 }),
      fc.integer({ min: minute, max: 10 * 24 * hour }),
      (chances, expiryMs) => {
        let at = 0;
        const attempts = attemptsOf(() => chances[at++ % chances.length] ?? 0, expiryMs);
        for (const [i, one] of attempts.slice(1).entries()) {
          const delay = one - (attempts[i] ?? 0);
          expect(delay).toBeGreaterThan(0.799);
          expect(delay).toBeLessThan(6 * 60 * 1.2 + 0.001);
        }
        expect((attempts.at(-1) ?? 0) * minute).toBeLessThanOrEqual(expiryMs + minute);
      },
    ),
  );
});

test('a peer that names a time is heard, for a day at most', () => {
  const facts = { now: start, attempts: 1, expiresAt: new Date(start.getTime() + defaultExpiryMs), random: 0.5 };
  const asked = (ms: number): number | undefined => {
    const next = nextAttempt({ ...facts, notBefore: new Date(start.getTime() + ms) });
    return next === null ? undefined : next.getTime() - start.getTime();
  };
  expect(asked(10 * minute)).toBe(10 * minute);
  expect(asked(1)).toBe(minute);
  expect(asked(100 * hour)).toBe(24 * hour);
});

test('the sender hears of the delay after 4 hours and after a day, once each', () => {
  const at = (hours: number, sent: number) => delayNoticeDue(start, new Date(start.getTime() + hours * hour), sent);
  expect([at(3.9, 0), at(4, 0), at(5, 1), at(24, 1), at(30, 2), at(50, 0)]).toEqual([null, 1, null, 2, null, 2]);
});

test('a next hop that stays away is asked ever more rarely, and at least twice an hour', () => {
  expect([1, 2, 3, 6, 1000].map((times) => hostPauseMs(times, 0.5) / minute)).toEqual([1, 2, 5, 30, 30]);
});

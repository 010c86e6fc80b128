import { expect, test } from 'vitest';
import { KubeError } from './kube-error.ts';
import { RateLimiter } from './rate-limiter.ts';
import { RetryBudget, retryAfter, type RetrySafety } from './retry.ts';

const error = (status: number, reason = '', retryAfterSeconds: number | null = null): KubeError =>
  new KubeError({ status, reason, message: 'failed', retryAfterSeconds });
const waitAfter = (fault: unknown, safety: RetrySafety = 'always', attempt = 1): number | null =>
  retryAfter(fault, attempt, safety, new RetryBudget(), () => 1);

test.each([
  ['a server error', error(500), 100, null],
  ['a gateway without a server', error(503), 100, null],
  ['a server that is not there', error(0, 'ConnectionRefused'), 100, 100],
  ['a connection that was cut', error(0, 'Unreachable'), 100, null],
  ['no answer in time', error(0, 'Timeout'), 100, null],
  ['too many requests', error(429), 100, 100],
  ['too many requests, with a time', error(429, '', 3), 3_000, 3_000],
  ['a server that is not ready, with a time', error(503, '', 2), 2_000, 2_000],
  ['a time that is too long to wait for', error(429, '', 31), null, null],
  ['not found', error(404), null, null],
  ['a conflict', error(409), null, null],
  ['an object that is not valid', error(422), null, null],
  ['an expired version', error(410), null, null],
  ['an abort', new Error('aborted'), null, null],
])('%s: waits for what may be done twice, and for what may not', (_what, fault, always, unprocessed) => {
  expect(waitAfter(fault)).toBe(always);
  expect(waitAfter(fault, 'unprocessed')).toBe(unprocessed);
});

test('waits double to five seconds, and six attempts are all', () => {
  const waits = [1, 2, 3, 4, 5, 6].map((attempt) => waitAfter(error(500), 'always', attempt));
  expect(waits).toEqual([100, 200, 400, 800, 1_600, null]);
});

test('a budget of retries is spent, and earned by requests; what a server asks for costs nothing', () => {
  const budget = new RetryBudget();
  const retries = Array.from({ length: 60 }, () => retryAfter(error(500), 1, 'always', budget));
  expect(retries.filter((waitMs) => waitMs !== null).length).toBe(50);
  expect(retryAfter(error(429, '', 1), 1, 'always', budget)).not.toBe(null);
  for (let requests = 0; requests < 11; requests += 1) budget.earn();
  expect(retryAfter(error(500), 1, 'always', budget)).not.toBe(null);
  expect(retryAfter(error(500), 1, 'always', budget)).toBe(null);
});

test('a rate is a burst, then turns in order', () => {
  let nowMs = 0;
  const limiter = new RateLimiter(10, 3, { now: () => new Date(), monotonicMs: () => nowMs });
  const turns = Array.from({ length: 5 }, () => limiter.reserve());
  expect(turns).toEqual([0, 0, 0, 100, 200]);
  nowMs = 200;
  expect(limiter.reserve()).toBeCloseTo(100);
  // A long rest gives no more than the burst.
  nowMs = 1_000_000;
  expect(Array.from({ length: 4 }, () => limiter.reserve())).toEqual([0, 0, 0, 100]);
});

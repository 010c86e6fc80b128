import { expect, test } from 'vitest';
import { repeatMs, restMs } from './rest.ts';

const now = new Date('2026-01-01T00:00:00Z');
const after = (seconds: number): Date => new Date(now.getTime() + seconds * 1000);
const sweepMs = 300_000;

test('until the next sweep, or until something is due', () => {
  expect(restMs({ failed: 'nothing', dueAt: null }, now, sweepMs)).toBe(300_000);
  expect(restMs({ failed: 'nothing', dueAt: after(7) }, now, sweepMs)).toBe(7_000);
  expect(restMs({ failed: 'nothing', dueAt: after(3600) }, now, sweepMs)).toBe(300_000);
});

test('a rotation that is due and can’t be done, as of a paused resource, is no reason to compare again at once', () => {
  expect(restMs({ failed: 'nothing', dueAt: now }, now, sweepMs)).toBe(60_000);
  expect(restMs({ failed: 'something', dueAt: after(-3600) }, now, sweepMs)).toBe(60_000);
  expect(restMs({ failed: 'for-now', dueAt: after(-3600) }, now, sweepMs)).toBe(1_000);
});

test('what is done over and over again is done less and less often', () => {
  expect([1, 2, 3, 10, 12, 2000].map(repeatMs)).toEqual([50, 100, 200, 25_600, 60_000, 60_000]);
});

import { expect, test } from 'vitest';
import { queueStatus, type QueueFacts } from './queue-facts.ts';

const start = new Date('2026-01-01T00:00:00Z');
const after = (minutes: number): Date => new Date(start.getTime() + minutes * 60_000);
const facts = (waiting: number, held = 0, oldest: Date | null = null): QueueFacts => ({ waiting, held, oldest });

test('a queue is told roughly, with its oldest message', () => {
  expect(queueStatus(facts(0), undefined, start)).toEqual({ waiting: 0, held: 0, observedAt: '2026-01-01T00:00:00Z' });
  expect(queueStatus(facts(1_249, 7, after(-3)), undefined, start)).toEqual({
    waiting: 1_200,
    held: 7,
    oldest: '2025-12-31T23:57:00Z',
    observedAt: '2026-01-01T00:00:00Z',
  });
});

test('the same, or anything within five minutes, is told no second time', () => {
  const before = queueStatus(facts(1_249), undefined, start);
  expect(queueStatus(facts(9_000), before, after(4))).toBe(before);
  expect(queueStatus(facts(1_231), before, after(60))).toBe(before);
  expect(queueStatus(facts(1_251), before, after(6))).toMatchObject({
    waiting: 1_300,
    observedAt: '2026-01-01T00:06:00Z',
  });
});

import { expect, test } from 'vitest';
import { systemClock } from '#shared/base/clock.ts';
import { Health } from '#shared/observe/health.ts';
import { silentLogger } from '#shared/observe/logger.ts';
import { drain, type Drainable } from './lifecycle.ts';

const options = { drainDelayMs: 0, graceMs: 1_000, clock: systemClock, logger: silentLogger };

test('a drain makes the server unready first, waits, then stops all listeners with what is left of the grace time', async () => {
  const health = new Health();
  const told: number[] = [];
  const listener = (name: string): Drainable => ({
    name,
    stop: (graceMs) => {
      told.push(graceMs);
      return Promise.resolve();
    },
  });
  const draining = drain({ ...options, health, drainDelayMs: 200, listeners: [listener('a'), listener('b')] });
  expect(health.report().state).toBe('stopping');
  expect(told).toEqual([]);
  await draining;
  expect(told).toHaveLength(2);
  for (const graceMs of told) expect(graceMs).toBeGreaterThan(100);
  for (const graceMs of told) expect(graceMs).toBeLessThanOrEqual(800);
});

test('one listener that fails to stop does not keep the others', async () => {
  let isStopped = false;
  const broken = { name: 'broken', stop: () => Promise.reject(new Error('no')) };
  const good = { name: 'good', stop: async () => void (isStopped = true) };
  await drain({ ...options, health: new Health(), listeners: [broken, good] });
  expect(isStopped).toBe(true);
});

import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { forEachBounded } from './bounded.ts';

test('everything is done once, in order, and no more at a time than may be', async () => {
  const done: number[] = [];
  let running = 0;
  let mostRunning = 0;
  await forEachBounded([1, 2, 3, 4, 5, 6, 7], 3, async (n) => {
    running += 1;
    mostRunning = Math.max(mostRunning, running);
    done.push(n);
    await nextTurn();
    running -= 1;
  });
  expect(done).toEqual([1, 2, 3, 4, 5, 6, 7]);
  expect(mostRunning).toBe(3);
});

test('after an error no more is begun, and what was begun has ended', async () => {
  const ended: number[] = [];
  const work = forEachBounded([1, 2, 3, 4, 5], 2, async (n) => {
    await nextTurn();
    if (n === 2) throw new Error('broken');
    await nextTurn();
    ended.push(n);
  });
  await expect(work).rejects.toThrow('broken');
  expect(ended).toEqual([1]);
});

test('nothing to do', async () => {
  await forEachBounded([], 4, () => Promise.reject(new Error('never')));
});

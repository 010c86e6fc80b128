import { expect, test } from 'vitest';
import { Turns } from './turns.ts';

test('no more tasks than turns run at a time, and those that wait run in the order they came', async () => {
  const turns = new Turns(2);
  const order: number[] = [];
  let running = 0;
  let most = 0;
  const task = (n: number) => async (): Promise<number> => {
    order.push(n);
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 5));
    running--;
    return n;
  };
  const results = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => turns.take(task(n))));
  expect(results).toEqual([1, 2, 3, 4, 5, 6]);
  expect(order).toEqual([1, 2, 3, 4, 5, 6]);
  expect(most).toBe(2);
});

test('a task that fails gives its turn back', async () => {
  const turns = new Turns(1);
  await expect(turns.take(() => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  await expect(turns.take(() => Promise.resolve('next'))).resolves.toBe('next');
});

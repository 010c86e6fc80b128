import { expect, test } from 'vitest';
import { figures, worst } from './figures.ts';

test('p99 is the 99th of a hundred, and the worst of a few', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i);
  expect(worst({ samples: hundred, of: 'p99' })).toBe(99);
  expect(worst({ samples: hundred, of: 'max' })).toBe(100);
  expect(worst({ samples: [3, 1, 2], of: 'p99' })).toBe(3);
  expect(worst({ samples: [], of: 'max' })).toBeNaN();
});

test('each figure is there once, with an aim', () => {
  expect(new Set(figures.map(({ name }) => name)).size).toBe(figures.length);
  for (const { aim } of figures) expect(aim).toBeGreaterThanOrEqual(0);
});

import { expect, test } from 'vitest';
import { growth } from './memory-watch.ts';

const minute = (n: number): number => n / 60;

test('a leak is a slope, whatever the saw of collections does', () => {
  const looks = Array.from({ length: 600 }, (_, n) => [minute(n), 100 + 3 * minute(n) + (n % 15) * 4] as const);
  expect(growth(looks)).toBeCloseTo(3, 0);
});

test('what fills in the first fifth is no leak', () => {
  const looks = Array.from({ length: 600 }, (_, n) => [minute(n), n < 100 ? n : 100] as const);
  expect(growth(looks)).toBe(0);
});

test('a look or none has no slope', () => {
  expect(growth([])).toBe(0);
  expect(growth([[1, 5]])).toBe(0);
});

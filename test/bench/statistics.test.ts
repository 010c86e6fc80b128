import { expect, test } from 'vitest';
import fc from 'fast-check';
import { median, percentile, ratioInRounds, spread, summarise, type Summary } from './statistics.ts';

test('the median is the middle sample, or halfway between the two in the middle', () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([1, 2, 3, 10])).toBe(2.5);
});

test('percentiles lie between the neighbours', () => {
  expect(percentile([0, 10], 50)).toBe(5);
  expect(percentile([1, 2, 3, 4, 5], 100)).toBe(5);
  expect(percentile([7], 99)).toBe(7);
  expect(percentile([], 50)).toBeNaN();
});

test('a summary is ordered, whatever the samples', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ noNaN: true, min: 0, max: 1e9 }), { minLength: 1 }), (samples) => {
      const { least, median: middle, most, count } = summarise(samples) as Summary;
      expect(least).toBeLessThanOrEqual(middle);
      expect(middle).toBeLessThanOrEqual(most);
      expect(count).toBe(samples.length);
    }),
  );
});

test('no samples have no summary', () => {
  expect(summarise([])).toBeNull();
});

test('spread is the widest deviation as a share of the median', () => {
  expect(spread({ median: 100, least: 80, most: 130, count: 3 })).toBeCloseTo(0.3);
  expect(spread({ median: 0, least: 0, most: 0, count: 3 })).toBe(0);
});

test('a ratio above 1 means ours is better, in either direction', () => {
  expect(ratioInRounds([200, 200], [100, 50], 'more')).toMatchObject({ median: 3, least: 2, most: 4 });
  expect(ratioInRounds([10], [40], 'less')).toMatchObject({ median: 4 });
});

test('rounds in which one of the two has no figure do not count', () => {
  expect(ratioInRounds([200, null, 300], [100, 100], 'more')).toMatchObject({ median: 2, count: 1 });
  expect(ratioInRounds([null], [1], 'more')).toBeNull();
});

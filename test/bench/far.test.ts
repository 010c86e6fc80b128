import { expect, test } from 'vitest';
import { farFigure, farRow } from './far.ts';
import type { RowResult, Sample } from './results.ts';
import { stated } from './rows/aim.ts';

const sample = (value: number, roundTrips?: number): Sample => ({
  value,
  serverCpu: 0,
  programCpu: 0,
  clientCpu: 0,
  seconds: 1,
  peakPssMiB: null,
  peakProgramMiB: null,
  foreignCores: 0,
  ...(roundTrips !== undefined && { also: { 'round trips each': roundTrips } }),
});
const row = (name: string, better: 'more' | 'less', near: readonly number[], away: number | null): RowResult => ({
  name,
  title: name,
  unit: better === 'more' ? '/s' : 'ms',
  better,
  aim: stated,
  samples: {
    postrider: near.map((value) => sample(value)),
    'postrider-1ms': [away === null ? null : sample(away, 2.5)],
  },
  limits: {},
  remarks: [],
  failed: [],
  tookSeconds: 1,
});

test('slower is less a second and more time, against the median of the near ones', () => {
  expect(farFigure(row('rate', 'more', [90, 100, 110], 50))).toEqual({ value: 50, slower: 2, roundTrips: 2.5 });
  expect(farFigure(row('time', 'less', [10], 40))).toMatchObject({ slower: 4 });
  expect(farFigure(row('none', 'less', [10], null))).toBeNull();
  expect(farFigure(row('none', 'less', [], 10))).toBeNull();
});

test('the row about all is the worst one, and names those beyond three times', () => {
  const all = [row('a', 'more', [100], 50), row('b', 'less', [10], 40), row('c', 'less', [10], null)];
  const worst = farRow(all);
  expect(worst?.samples['postrider']?.[0]?.value).toBe(4);
  expect(worst?.title).toContain('(b); 1 of 2 rows');
  expect(worst?.remarks).toEqual(['over 3x slower: b']);
  expect(farRow([])).toBeNull();
});

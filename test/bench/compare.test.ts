import { expect, test } from 'vitest';
import { compare, ratioMoved } from './compare.ts';
import type { BenchResults, RowResult } from './results.ts';

const row = (name: string, better: 'more' | 'less', samples: Record<string, readonly number[]>): RowResult => ({
  name,
  title: name,
  unit: better === 'more' ? '/s' : 'ms',
  better,
  aim: { kind: 'stated' },
  samples: Object.fromEntries(
    Object.entries(samples).map(([server, values]) => [
      server,
      values.map((value) => ({
        value,
        serverCpu: 0,
        programCpu: 0,
        clientCpu: 0,
        seconds: 1,
        peakPssMiB: null,
        peakProgramMiB: null,
        foreignCores: 0,
      })),
    ]),
  ),
  limits: {},
  remarks: [],
  failed: [],
  tookSeconds: 1,
});
const results = (...rows: readonly RowResult[]): BenchResults => ({
  at: '',
  commit: '',
  machine: { cpu: '', cores: 2, memoryGiB: 24, kernel: '', node: '', disk: '' },
  servers: {},
  isQuick: false,
  probes: [],
  tookSeconds: 1,
  rows,
});

test('more a second and less time are both gains', () => {
  const before = results(row('receive', 'more', { ours: [90, 100, 110] }), row('fetch', 'less', { ours: [40] }));
  const after = results(row('receive', 'more', { ours: [190, 200, 210] }), row('fetch', 'less', { ours: [80] }));
  expect(compare(before, after)).toEqual([
    { row: 'receive', server: 'ours', unit: '/s', before: 100, after: 200, gain: 2, isClear: true },
    { row: 'fetch', server: 'ours', unit: 'ms', before: 40, after: 80, gain: 0.5, isClear: true },
  ]);
});

test('runs whose samples overlap do not differ clearly', () => {
  const [difference] = compare(
    results(row('receive', 'more', { ours: [90, 100, 130] })),
    results(row('receive', 'more', { ours: [110, 120, 150] })),
  );
  expect(difference).toMatchObject({ gain: 1.2, isClear: false });
});

test('rows and servers that only one run has are left out', () => {
  expect(compare(results(row('a', 'more', { x: [1] })), results(row('a', 'more', { y: [1] })))).toEqual([]);
  expect(compare(results(row('a', 'more', { x: [1] })), results(row('b', 'more', { x: [1] })))).toEqual([]);
});

test('how far a ratio moved is a factor, whichever way', () => {
  const twice = row('a', 'more', { ours: [20, 20], theirs: [10, 10] });
  const threeTimes = row('a', 'more', { ours: [30, 30], theirs: [10, 10] });
  expect(ratioMoved(twice, threeTimes, 'ours', 'theirs')).toBeCloseTo(1.5);
  expect(ratioMoved(threeTimes, twice, 'ours', 'theirs')).toBeCloseTo(1.5);
  expect(ratioMoved(twice, threeTimes, 'ours', 'nobody')).toBeNull();
});

import { expect, test } from 'vitest';
import { changedVerdicts, compare, movedRatios } from './compare.ts';
import type { BenchResults, RowResult } from './results.ts';
import { bound } from './rows/aim.ts';

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
  const twice = results(row('a', 'more', { postrider: [20, 20], theirs: [10, 10] }));
  const threeTimes = results(row('a', 'more', { postrider: [30, 30], theirs: [10, 10] }));
  expect(movedRatios(twice, threeTimes)).toEqual([{ row: 'a', server: 'theirs', factor: 1.5 }]);
  expect(movedRatios(threeTimes, twice)).toEqual([{ row: 'a', server: 'theirs', factor: 1.5 }]);
  expect(movedRatios(twice, twice)).toEqual([]);
});

test('what is no competitor, and one that a run lacks, has no ratio', () => {
  const before = results(row('a', 'more', { postrider: [20], 'empty-loop': [10], 'postrider-1ms': [10] }));
  const after = results(row('a', 'more', { postrider: [90], 'empty-loop': [10], 'postrider-1ms': [10], theirs: [5] }));
  expect(movedRatios(before, after)).toEqual([]);
});

test('a row that is a ratio itself moves by its own value', () => {
  const times = (value: number) => results({ ...row('grown', 'less', { postrider: [value] }), unit: 'x' });
  expect(movedRatios(times(1), times(1.2))).toEqual([]);
  expect(movedRatios(times(1), times(2))).toEqual([{ row: 'grown', server: 'postrider', factor: 2 }]);
});

test('an aim that was met and is not any more is told', () => {
  const at = (value: number) => results({ ...row('a', 'less', { postrider: [value] }), aim: bound(10) });
  expect(changedVerdicts(at(9), at(11))).toEqual([{ row: 'a', was: 'met', is: 'missed' }]);
  expect(changedVerdicts(at(9), at(8))).toEqual([]);
});

import { expect, test } from 'vitest';
import { doubts, foreignCores } from './noise.ts';
import type { RowResult } from './results.ts';

const sample = (foreign: number) => ({
  value: 1,
  serverCpu: 0,
  programCpu: 0,
  clientCpu: 0,
  seconds: 1,
  peakPssMiB: null,
  peakProgramMiB: null,
  foreignCores: foreign,
});
const row = (name: string, ...foreign: readonly number[]): RowResult => ({
  name,
  title: '',
  unit: '/s',
  better: 'more',
  aim: { kind: 'stated' },
  samples: { postrider: foreign.map(sample) },
  limits: {},
  remarks: [],
  failed: [],
  tookSeconds: 1,
});

test('equal probes and an idle machine leave no doubt', () => {
  expect(doubts([{ cpuMs: 20, syncMs: 30 }], [row('quiet', 0.1)])).toEqual([]);
});

test('probes that lie apart are told with their times', () => {
  const [doubt] = doubts(
    [
      { cpuMs: 20, syncMs: 30 },
      { cpuMs: 40, syncMs: 31 },
    ],
    [],
  );
  expect(doubt).toContain('CPU work took between 20 and 40 ms');
});

test('samples too short for the ticks of CPU time say nothing', () => {
  const short = { ...sample(2), seconds: 0.02 };
  expect(foreignCores({ ...row('short'), samples: { postrider: [short, sample(0.1)] } })).toBe(0.1);
});

test('rows that had to share the cores are named', () => {
  expect(doubts([], [row('quiet', 0.1), row('busy', 0.9, 0.8, 0.1)])).toEqual([
    'other programs used over 0.25 of a core during busy',
  ]);
  expect(foreignCores(row('busy', 0.9, 0.8, 0.1))).toBe(0.8);
});

import { expect, test } from 'vitest';
import type { RowResult, Sample } from './results.ts';
import { bound, stated, times, type Aim } from './rows/aim.ts';
import { aimText, verdictOf, verdicts } from './verdict.ts';

const sample = (value: number, also?: Readonly<Record<string, number>>): Sample => ({
  value,
  serverCpu: 0,
  programCpu: 0,
  clientCpu: 0,
  seconds: 1,
  peakPssMiB: null,
  peakProgramMiB: null,
  foreignCores: 0,
  ...(also && { also }),
});
const row = (aim: Aim, better: 'more' | 'less', samples: RowResult['samples']): RowResult => ({
  name: 'row',
  title: '',
  unit: better === 'more' ? '/s' : 'ms',
  better,
  aim,
  samples,
  limits: {},
  remarks: [],
  failed: [],
  tookSeconds: 1,
});

test('so many times better is the median of the ratios of the rounds, against every server named', () => {
  const samples = { postrider: [sample(300), sample(100)], postfix: [sample(100), sample(50)], other: [sample(200)] };
  expect(verdictOf(row(times(2.5, 'postfix'), 'more', samples))).toBe('met');
  expect(verdictOf(row(times(2.6, 'postfix'), 'more', samples))).toBe('missed');
  expect(verdictOf(row(times(0.5, 'postfix'), 'less', samples))).toBe('missed');
});

test('a bound is the least of what is more, the most of what is less', () => {
  expect(verdictOf(row(bound(50), 'less', { postrider: [sample(49)] }))).toBe('met');
  expect(verdictOf(row(bound(50), 'less', { postrider: [sample(51)] }))).toBe('missed');
  expect(verdictOf(row(bound(50), 'more', { postrider: [sample(51)] }))).toBe('met');
});

test('a figure beside the value misses the aim too', () => {
  const aim = bound(20, { 'p99 ms': 200 });
  expect(verdictOf(row(aim, 'less', { postrider: [sample(1, { 'p99 ms': 199 })] }))).toBe('met');
  expect(verdictOf(row(aim, 'less', { postrider: [sample(1, { 'p99 ms': 201 })] }))).toBe('missed');
  expect(verdictOf(row(aim, 'less', { postrider: [sample(1)] }))).toBe('open');
});

test('without a figure of one of the two nothing is met, and what misses already is not open', () => {
  const aim = times(2, 'dovecot-mdbox', 'dovecot-sdbox');
  expect(verdictOf(row(aim, 'more', { postrider: [sample(4)], 'dovecot-mdbox': [sample(1)] }))).toBe('open');
  expect(verdictOf(row(aim, 'more', { postrider: [sample(1)], 'dovecot-mdbox': [sample(1)] }))).toBe('missed');
  expect(verdictOf(row(bound(1), 'more', { postrider: [null] }))).toBe('open');
});

test('rows are counted by what they reached', () => {
  const rows = [
    { ...row(bound(1), 'more', { postrider: [sample(2)] }), name: 'a' },
    { ...row(bound(1), 'less', { postrider: [sample(2)] }), name: 'b' },
    { ...row(stated, 'less', { postrider: [sample(2)] }), name: 'c' },
  ];
  expect(verdicts(rows)).toEqual({ met: ['a'], missed: ['b'], open: [], stated: ['c'] });
});

test('an aim in words', () => {
  expect(aimText(row(times(5, 'postfix'), 'more', {}))).toBe('5x postfix');
  expect(aimText(row(bound(20, { 'p99 ms': 200 }), 'less', {}))).toBe('at most 20 ms, p99 ms at most 200');
});

import { expect, test } from 'vitest';
import {
  descendants,
  parseBusySeconds,
  parseProcessStat,
  parsePss,
  parseResident,
  residentMiB,
  resetPeak,
} from './proc.ts';

test('CPU time is that of the process and of children it has waited for', () => {
  const line = '42 (node) S 7 42 42 0 -1 4194560 1 2 3 4 150 50 25 75 20 0 11 0 500 1000 200';
  expect(parseProcessStat(line)).toEqual({ pid: 42, parent: 7, cpuSeconds: 3 });
});

test('a name with blanks and parentheses does not shift the fields', () => {
  const line = '43 (postgres: (a) b) S 42 43 43 0 -1 4194560 1 2 3 4 100 0 0 0 20 0 1 0 500 1000 200';
  expect(parseProcessStat(line)).toEqual({ pid: 43, parent: 42, cpuSeconds: 1 });
});

test('PSS is its own line of smaps_rollup', () => {
  const rollup = '00400000-7fff [rollup]\nRss:  9000 kB\nPss:   5120 kB\nPss_Dirty:  7 kB\n';
  expect(parsePss(rollup)).toBe(5120);
  expect(parsePss('')).toBe(0);
});

test('resident memory is what is there now, and the most that was', () => {
  expect(parseResident('VmPeak:\t  9 kB\nVmHWM:\t  3072 kB\nVmRSS:\t  2048 kB\n')).toEqual({ now: 2, peak: 3 });
  expect(parseResident('')).toEqual({ now: 0, peak: 0 });
});

test.runIf(process.platform === 'linux')('what was freed before a reset is not the peak after it', () => {
  const many = Buffer.alloc(64 * 1024 * 1024, 1);
  expect(residentMiB(process.pid).peak).toBeGreaterThan(many.length / 1024 / 1024);
  resetPeak(process.pid);
  const { now, peak } = residentMiB(process.pid);
  expect(peak).toBeLessThan(now + 32);
});

test('a machine is busy in all states but idle and iowait', () => {
  expect(parseBusySeconds('cpu  100 200 300 9999 8888 10 20 70 0 0\ncpu0 1 1 1 1\n')).toBe(7);
});

test('a tree holds the roots and everything below them', () => {
  const process = (pid: number, parent: number) => ({ pid, parent, cpuSeconds: 1 });
  const all = [process(9, 3), process(1, 0), process(2, 1), process(3, 2), process(4, 1)];
  expect(descendants(all, [2]).map(({ pid }) => pid)).toEqual([9, 2, 3]);
  expect(descendants(all, [4, 3]).map(({ pid }) => pid)).toEqual([9, 3, 4]);
});

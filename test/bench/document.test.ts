import { expect, test } from 'vitest';
import { sectionOf } from './document.ts';
import type { BenchResults, RowResult } from './results.ts';
import { bound } from './rows/aim.ts';

const row = (name: string, value: number): RowResult => ({
  name,
  title: name,
  unit: 'ms',
  better: 'less',
  aim: bound(10),
  samples: {
    postrider: [
      {
        value,
        serverCpu: 0,
        programCpu: 0,
        clientCpu: 0,
        seconds: 1,
        peakPssMiB: null,
        peakProgramMiB: null,
        foreignCores: 0,
      },
    ],
  },
  limits: {},
  remarks: [],
  failed: [],
  tookSeconds: 1,
});
const run = (at: string, ...rows: readonly RowResult[]): BenchResults => ({
  at,
  commit: `commit-${at.slice(8, 10)}`,
  machine: { cpu: '', cores: 2, memoryGiB: 24, kernel: '', node: '', disk: '' },
  servers: {},
  isQuick: false,
  probes: [],
  tookSeconds: 1200,
  rows,
});

test('the table is that of the first run alone; rows that it lacks follow, from the newest run that has them', () => {
  const section = sectionOf(run('2026-01-05T10:00', row('a', 5), row('b', 50)), [
    run('2026-01-03T10:00', row('c', 3)),
    run('2026-01-04T10:00', row('a', 1), row('c', 4)),
    run('2026-01-02T10:00', row('c', 2)),
  ]);
  expect(section).toContain('at commit commit-05 in 20 minutes');
  expect(section).toContain('Aims met: 1; missed: 1 (`b`); without a figure: 0.');
  expect(section.match(/\(`a`\)/g)).toHaveLength(1);
  expect(section).toContain('- `c`: 2026-01-04 10:00, commit commit-04');
  expect(section).toMatch(/\| c \(`c`\) \| 4\.00 ms/);
});

test('without further rows there is nothing below the table', () => {
  expect(sectionOf(run('2026-01-05T10:00', row('a', 5)), [])).not.toContain('of their own');
});

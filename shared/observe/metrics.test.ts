import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { createMetrics, metricTable } from './metrics.ts';

test('every metric of the table is printed under its name', async () => {
  const text = await createMetrics().registry.metrics();
  for (const row of Object.values(metricTable)) expect(text).toContain(`# TYPE ${row.name} ${row.type}`);
});

test('names begin with postrider_, counters end in _total, and no label can hold an address', () => {
  for (const row of Object.values(metricTable)) {
    expect(row.name).toMatch(/^postrider_[a-z_]+$/);
    expect(row.name.endsWith('_total')).toBe(row.type === 'counter');
    for (const label of row.labels) expect(label).not.toMatch(/address|user|mailbox|domain|host|ip/);
  }
});

test('two sets count apart', async () => {
  const one = createMetrics();
  const two = createMetrics();
  one.connectionsOpened.inc({ listener: 'imap' });
  expect((await one.connectionsOpened.get()).values).toHaveLength(1);
  expect((await two.connectionsOpened.get()).values).toHaveLength(0);
});

test('process metrics come on request', async () => {
  expect(await createMetrics({ process: true }).registry.metrics()).toContain('process_cpu_seconds_total');
  expect(await createMetrics().registry.metrics()).not.toContain('process_cpu_seconds_total');
});

test('every metric of the table is written somewhere', () => {
  const written = execFileSync(
    'git',
    ['grep', '-hoE', String.raw`[mM]etrics\??\.[a-zA-Z]+`, '--', 'server', 'shared'],
    {
      encoding: 'utf8',
    },
  );
  const names = new Set(written.split('\n').map((text) => text.split('.').at(-1)));
  expect(Object.keys(metricTable).filter((key) => !names.has(key))).toEqual([]);
});

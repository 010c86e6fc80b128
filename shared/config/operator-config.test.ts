import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { loadOperatorConfig } from './operator-config.ts';

const url = 'postgres://operator:secret@db:5432/mail';

test('what is not set has its standard', () => {
  const { config, warnings } = loadOperatorConfig({ DATABASE_URL: url });
  expect(config.databaseUrl.reveal()).toBe(url);
  expect(config).toMatchObject({ databaseUrlFile: null, watchedNamespaces: [], leaseName: 'postrider-operator' });
  expect(config).toMatchObject({ sweepSeconds: 300, httpPort: 8080, graceSeconds: 10 });
  expect(warnings).toEqual([]);
});

test('a URL from a file names the file, so that it can be read again', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-config-'));
  const file = path.join(folder, 'url');
  await writeFile(file, `${url}\n`);
  const { config } = loadOperatorConfig({ DATABASE_URL_FILE: file, WATCHED_NAMESPACES: 'team-a, team-b' });
  expect(config.databaseUrl.reveal()).toBe(url);
  expect(config).toMatchObject({ databaseUrlFile: file, watchedNamespaces: ['team-a', 'team-b'] });
  await rm(folder, { recursive: true });
});

test('all that is wrong is told at once', () => {
  const wrong = { STATUS_WORKERS: 'many', POSTRIDER_LEASE: 'x' };
  expect(() => loadOperatorConfig(wrong)).toThrow(
    /3 faults[^]*POSTRIDER_LEASE[^]*STATUS_WORKERS[^]*DATABASE_URL: not set/,
  );
});

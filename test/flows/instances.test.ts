/** Servers tell of themselves in the database. */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newestMigration } from '#shared/db/migrate.ts';
import { createTestDatabase, type TestDatabase } from '../harness/database.ts';
import { LineClient } from '../harness/line-client.ts';
import { startService } from '../harness/service.ts';

type Row = { name: string; roles: string[]; schema: number; facts: Record<string, unknown>; is_alive: boolean };

let database: TestDatabase;
let client: pg.Client;
let dataDirectory = '';

beforeAll(async () => {
  database = await createTestDatabase();
  dataDirectory = await mkdtemp(path.join(os.tmpdir(), 'instances-'));
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
});
afterAll(async () => {
  await client.end();
  await database[Symbol.asyncDispose]();
  await rm(dataDirectory, { recursive: true });
});

async function rows(): Promise<readonly Row[]> {
  const result = await client.query<Row>(
    `select name, roles, schema, facts, seen_at > now() - interval '35 s' as is_alive from server_instance order by name`,
  );
  return result.rows;
}

async function until(isSo: (rows: readonly Row[]) => boolean): Promise<readonly Row[]> {
  const deadline = performance.now() + 40_000;
  for (;;) {
    const found = await rows();
    if (isSo(found)) return found;
    if (performance.now() > deadline) throw new Error(`still ${JSON.stringify(found)}`);
    await sleep(50);
  }
}

test('a server has a row while it runs, which says what it does and that it drains', { timeout: 90_000 }, async () => {
  const service = await startService({
    databaseUrl: database.url,
    dataDirectory,
    env: { DRAIN_DELAY: '3s', ROLES: 'imap,mx' },
  });
  const [row] = await until((found) => found.length === 1);
  expect(row).toMatchObject({
    roles: ['mx', 'imap'],
    schema: await newestMigration(),
    is_alive: true,
    facts: {
      isReady: true,
      isDraining: false,
      databaseConnections: 15,
      outboundPort25: 'unknown',
      dnssec: 'unknown',
      clientAddresses: 'unknown',
    },
  });
  await using imap = await LineClient.connect(service.ports.imap);
  await imap.line(/^\* OK/);
  await until(([found]) => (found?.facts['sessions'] as { imap?: number } | undefined)?.imap === 1);
  const ended = service.stop();
  await until(([found]) => found?.facts['isDraining'] === true && found.facts['isReady'] === false);
  await ended;
  expect(await rows()).toEqual([]);
  await service[Symbol.asyncDispose]();
});

test('one that was killed leaves its row, which the next one sweeps when it is old', { timeout: 90_000 }, async () => {
  const killed = await startService({ databaseUrl: database.url, dataDirectory });
  const [row] = await until((found) => found.length === 1);
  killed.process.kill('SIGKILL');
  await killed[Symbol.asyncDispose]();
  expect(await rows()).toHaveLength(1);
  await client.query(`update server_instance set seen_at = now() - interval '2 hours'`);
  await using next = await startService({ databaseUrl: database.url, dataDirectory });
  const [other] = await until((found) => found.length === 1 && found[0]?.name !== row?.name);
  expect(other?.is_alive).toBe(true);
  expect(next.process.exitCode).toBeNull();
});

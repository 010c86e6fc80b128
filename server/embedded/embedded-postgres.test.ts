import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findEmbeddedPostgres, startEmbeddedPostgres } from './embedded-postgres.ts';

const logger = pino({ level: 'silent' });

async function one(url: string, sql: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined); // The server is killed under it.
  await client.connect();
  try {
    const { rows } = await client.query<[string]>({ text: sql, rowMode: 'array' });
    return rows[0]?.[0] ?? '';
  } finally {
    await client.end();
  }
}

async function eventually<T>(attempt: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(100);
    }
  }
}

describe('the embedded Postgres', () => {
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(path.join(os.tmpdir(), 'postrider-embedded-'));
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  test('keeps its data from one start to the next, durably, for its user alone', async () => {
    {
      await using server = await startEmbeddedPostgres({ directory, logger });
      await one(server.url, 'create table kept as select 42 as answer');
      expect(await one(server.url, 'show fsync')).toBe('on');
      expect(await one(server.url, 'show listen_addresses')).toBe('');
      expect((await stat(path.join(directory, 'run'))).mode & 0o077).toBe(0);
    }
    await using server = await startEmbeddedPostgres({ directory, logger });
    expect(await one(server.url, 'select answer::text from kept')).toBe('42');
  });

  test('a second program on the same folder is told so', async () => {
    await using _server = await startEmbeddedPostgres({ directory, logger });
    await expect(startEmbeddedPostgres({ directory, logger })).rejects.toMatchObject({
      exitCode: 78,
      message: /already runs/,
    });
  });

  test('a command beside a running program finds its Postgres, and none where no program is', async () => {
    expect(await findEmbeddedPostgres(directory)).toBeNull();
    {
      await using server = await startEmbeddedPostgres({ directory, logger });
      expect(await findEmbeddedPostgres(directory)).toEqual({ url: server.url });
    }
    expect(await findEmbeddedPostgres(directory)).toBeNull();
  });

  test('is started again when it is killed', async () => {
    await using server = await startEmbeddedPostgres({ directory, logger });
    const { pid } = server;
    process.kill(pid, 'SIGKILL');
    await eventually(async () => expect(server.pid).not.toBe(pid));
    expect(await eventually(() => one(server.url, 'select 1::text'))).toBe('1');
  });

  test('a cluster of another Postgres is refused with what to do', async () => {
    const other = await mkdtemp(path.join(os.tmpdir(), 'postrider-embedded-'));
    await mkdir(path.join(other, 'postgres'));
    await writeFile(path.join(other, 'postgres', 'PG_VERSION'), '15\n');
    await expect(startEmbeddedPostgres({ directory: other, logger })).rejects.toMatchObject({
      exitCode: 78,
      message: /Postgres 15/,
    });
    await rm(other, { recursive: true });
  });
});

/** What the parts of the machine do alone: the disk, and Postgres with the same bytes. */
import { randomBytes } from 'node:crypto';
import { closeSync, fdatasyncSync, openSync, rmSync, writeSync } from 'node:fs';
import path from 'node:path';
import pg from 'pg';
import type { Begin, Outcome, Task } from './tasks.ts';

type TaskOf<K extends Task['kind']> = Extract<Task, { kind: K }>;
type Done = Omit<Outcome, 'cpuSeconds'>;

/** Appends and fdatasyncs, one after the other. */
export async function fdatasyncLoad(task: TaskOf<'fdatasync'>, begin: Begin): Promise<Done> {
  const block = randomBytes(task.bytes);
  const file = path.join(task.folder, 'fdatasync');
  const fd = openSync(file, 'w');
  await begin();
  const startedAt = performance.now();
  let count = 0;
  for (; performance.now() - startedAt < task.seconds * 1000; count++) {
    writeSync(fd, block);
    fdatasyncSync(fd);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  closeSync(fd);
  rmSync(file);
  return { count, seconds, bytes: count * task.bytes };
}

/** Rows of one bytea with its key, so many a commit, each commit durable. */
export async function postgresInsert(task: TaskOf<'postgres-insert'>, begin: Begin): Promise<Done> {
  const clients = await Promise.all(
    Array.from({ length: task.clients }, async () => {
      const client = new pg.Client({ connectionString: task.url });
      await client.connect();
      return client;
    }),
  );
  await clients[0]?.query(
    'create table if not exists limit_row (id bigint generated always as identity primary key, raw bytea)',
  );
  await clients[0]?.query('alter table limit_row alter raw set storage external');
  const raw = randomBytes(task.bytes);
  const places = Array.from({ length: task.rowsPerCommit }, (_, i) => `($${i + 1})`).join(',');
  const query = {
    name: 'limit',
    text: `insert into limit_row (raw) values ${places}`,
    values: Array(task.rowsPerCommit).fill(raw),
  };
  await begin();
  const startedAt = performance.now();
  let commits = 0;
  await Promise.all(
    clients.map(async (client) => {
      while (performance.now() - startedAt < task.seconds * 1000) {
        await client.query(query);
        commits += 1;
      }
    }),
  );
  const seconds = (performance.now() - startedAt) / 1000;
  await clients[0]?.query('truncate limit_row');
  for (const client of clients) await client.end();
  return { count: commits * task.rowsPerCommit, seconds, bytes: commits * task.rowsPerCommit * task.bytes };
}

/** One statement to its last row. */
export async function postgresRead(task: TaskOf<'postgres-read'>, begin: Begin): Promise<Done> {
  const client = new pg.Client({ connectionString: task.url });
  await client.connect();
  await begin();
  const startedAt = performance.now();
  const { rows } = await client.query({ text: task.sql, rowMode: 'array' });
  const seconds = (performance.now() - startedAt) / 1000;
  await client.end();
  return { count: rows.length, seconds, bytes: 0 };
}

/** What stands beside the rows: the disk and Postgres alone. */
import pg from 'pg';
import type { Bench } from '../bench.ts';
import { Postrider } from '../servers/postrider.ts';

const kibi = 1024;

/** Durable commits a second of rows of this size, made by so many connections, and by one with 20 rows a commit. */
export function postgresWrites(bench: Bench, bytes: number, clients: number): Promise<Record<string, number>> {
  return bench.once(null, `postgres writes ${bytes} ${clients}`, () => measureWrites(bench, bytes, clients));
}

async function measureWrites(bench: Bench, bytes: number, clients: number): Promise<Record<string, number>> {
  const url = await limitDatabase(bench);
  if (url === null) return {};
  const seconds = bench.seconds(2, 1);
  const each = await bench.client.run({ kind: 'postgres-insert', url, clients, bytes, rowsPerCommit: 1, seconds });
  const many = await bench.client.run({ kind: 'postgres-insert', url, clients: 1, bytes, rowsPerCommit: 20, seconds });
  return {
    [`Postgres alone, a row a commit, ${clients} connections, rows/s`]: each.count / each.seconds,
    'Postgres alone, 20 rows a commit, 1 connection, rows/s': many.count / many.seconds,
  };
}

/** Milliseconds of one statement to its last row, in a client that does nothing with it. */
export async function postgresRead(bench: Bench, sql: string): Promise<Record<string, number>> {
  const server = bench.servers.get('postrider');
  if (!(server instanceof Postrider)) return {};
  const read = await bench.client.run({ kind: 'postgres-read', url: server.databaseUrl, sql });
  return { 'Postgres alone, one statement, ms': read.seconds * 1000 };
}

export function disk(bench: Bench): Promise<Record<string, number>> {
  return bench.once(null, 'disk', () => measureDisk(bench));
}

async function measureDisk(bench: Bench): Promise<Record<string, number>> {
  const task = { kind: 'fdatasync', folder: bench.folder, bytes: 4 * kibi, seconds: bench.seconds(1, 0.5) } as const;
  const done = await bench.client.run(task);
  return { 'fdatasync of 4 KiB, one after the other, /s': done.count / done.seconds };
}

/** A database of its own in our server's Postgres. */
async function limitDatabase(bench: Bench): Promise<string | null> {
  const server = bench.servers.get('postrider');
  if (!(server instanceof Postrider)) return null;
  const client = new pg.Client({ connectionString: server.databaseUrl });
  await client.connect();
  const { rowCount } = await client.query("select 1 from pg_database where datname = 'bench_limit'");
  if (rowCount === 0) await client.query('create database bench_limit');
  await client.end();
  return server.databaseUrl.replace('/postrider?', '/bench_limit?');
}

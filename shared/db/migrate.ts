/**
 * Brings the schema up to date: numbered SQL files, forward only, each in a transaction of its own, all under one
 * advisory lock, so that servers that start together don't meet. A server's number is that of its newest migration;
 * numbers may be left out.
 * A migration that older servers can't live with says so in its header: `--! oldest-server N`.
 */
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type pg from 'pg';
import { ProgramFault } from '#shared/base/program-fault.ts';
import type { PostgresDatabase } from './client.ts';
import { classifyPgError } from './pg-error.ts';

export type MigrateOptions = {
  /** Other migrations than those beside this file, for tests. */
  readonly folder?: string;
};

type Migration = {
  readonly number: number;
  readonly name: string;
  readonly checksum: string;
  readonly oldestServer: number;
  readonly sql: string;
};

type Applied = { readonly number: number; readonly checksum: string; readonly oldest_server: number };

const defaultFolder = path.join(import.meta.dirname, 'migrations');
/** Any number that nobody else locks. */
const migrationLock = 7_305_004_417;

/**
 * Applies what is missing; resolves with the numbers of the migrations applied now. ProgramFault 78: the schema asks
 * for a newer server, or an applied migration was changed since. ProgramFault 69: the database can't be reached.
 */
export async function migrate(database: PostgresDatabase, options: MigrateOptions = {}): Promise<readonly number[]> {
  const migrations = await readMigrations(options.folder ?? defaultFolder);
  return withClient(database, async (client) => {
    await client.query('select pg_advisory_lock($1)', [migrationLock]);
    await client.query(
      `create table if not exists schema_state (
        number integer primary key,
        name text not null,
        checksum text not null,
        oldest_server integer not null,
        applied_at timestamptz not null default now()
      )`,
    );
    const applied = await readApplied(client);
    assertAcceptable(migrations, applied);
    const done: number[] = [];
    for (const migration of migrations) {
      if (applied.some((row) => row.number === migration.number)) continue;
      await apply(client, migration);
      done.push(migration.number);
    }
    return done;
  });
}

/**
 * For a server that doesn't migrate: resolves where the schema is one that it can work with, else throws as
 * `migrate` does, and ProgramFault 69 where migrations are still missing.
 */
export async function checkSchema(database: PostgresDatabase, options: MigrateOptions = {}): Promise<void> {
  const migrations = await readMigrations(options.folder ?? defaultFolder);
  await withClient(database, async (client) => {
    const { rows } = await client.query<{ is_there: boolean }>(
      `select to_regclass('schema_state') is not null as is_there`,
    );
    const applied = rows[0]?.is_there === true ? await readApplied(client) : [];
    assertAcceptable(migrations, applied);
    const missing = migrations.filter(({ number }) => !applied.some((row) => row.number === number));
    if (missing.length > 0) {
      throw new ProgramFault(
        69,
        `the database lacks the migrations ${missing.map(({ number }) => number).join(', ')}`,
        'run `postrider migrate`, or wait until it has ended',
      );
    }
  });
}

/** The number of the newest migration that this program knows: its own number, as it were. */
export async function newestMigration(folder = defaultFolder): Promise<number> {
  return (await readMigrations(folder)).at(-1)?.number ?? 0;
}

async function withClient<T>(database: PostgresDatabase, work: (client: pg.Client) => Promise<T>): Promise<T> {
  let client: pg.Client | null = null;
  try {
    client = await database.connect('migrate', { statement_timeout: '0', idle_in_transaction_session_timeout: '0' });
    return await work(client);
  } catch (error) {
    if (classifyPgError(error).kind !== 'unavailable') throw error;
    const reason = error instanceof Error ? error.message || error.name : String(error);
    throw new ProgramFault(
      69,
      `the database can't be reached: ${reason}`,
      'check that Postgres runs and that DATABASE_URL leads to it',
      { cause: error },
    );
  } finally {
    // Ends the advisory lock too.
    await client?.end().catch(() => undefined);
  }
}

async function readMigrations(folder: string): Promise<readonly Migration[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).sort();
  const migrations: Migration[] = [];
  for (const name of names) {
    const number = Number(/^(\d{4})-[a-z0-9-]+\.sql$/.exec(name)?.[1] ?? Number.NaN);
    if (!(number > (migrations.at(-1)?.number ?? 0))) throw new Error(`migration ${name} has no number of its own`);
    const sql = await readFile(path.join(folder, name), 'utf8');
    const oldestServer = Number(/^--! oldest-server (\d+)$/m.exec(sql)?.[1] ?? 0);
    const checksum = createHash('sha256').update(sql).digest('hex');
    migrations.push({ number, name: name.slice(0, -4), checksum, oldestServer, sql });
  }
  return migrations;
}

async function readApplied(client: pg.Client): Promise<readonly Applied[]> {
  const { rows } = await client.query<Applied>(
    'select number, checksum, oldest_server from schema_state order by number',
  );
  return rows;
}

function assertAcceptable(migrations: readonly Migration[], applied: readonly Applied[]): void {
  const ours = migrations.at(-1)?.number ?? 0;
  const oldest = Math.max(0, ...applied.map((row) => row.oldest_server));
  if (oldest > ours) {
    throw new ProgramFault(
      78,
      `the database was changed by a newer server: its schema needs server ${oldest} or newer, this one is ${ours}`,
      'run the newer version, or restore a backup from before the upgrade',
    );
  }
  for (const row of applied) {
    const migration = migrations.find(({ number }) => number === row.number);
    if (migration && migration.checksum !== row.checksum) {
      throw new ProgramFault(
        78,
        `migration ${migration.name} is not the one that was applied to this database`,
        'run an unchanged release, or restore the file as it was',
      );
    }
  }
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  await client.query('begin');
  try {
    await client.query(migration.sql);
    await client.query('insert into schema_state (number, name, checksum, oldest_server) values ($1, $2, $3, $4)', [
      migration.number,
      migration.name,
      migration.checksum,
      migration.oldestServer,
    ]);
    await client.query('commit');
  } catch (error) {
    await client.query('rollback').catch(() => undefined);
    throw error;
  }
}

import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ProgramFault } from '#shared/base/program-fault.ts';
import { createTestDatabase } from '../../test/harness/database.ts';
import { createDatabase, type PostgresDatabase } from './client.ts';
import { checkSchema, migrate } from './migrate.ts';

let folder: string;
const opened: AsyncDisposable[] = [];

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'postrider-migrations-'));
});
beforeEach(async () => {
  await writeFile(path.join(folder, '0001-first.sql'), '--! oldest-server 1\ncreate table first (id int);\n');
  await writeFile(path.join(folder, '0002-second.sql'), 'create table second (id int);\n');
});
afterAll(async () => {
  for (const one of opened.toReversed()) await one[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

async function emptyDatabase(): Promise<PostgresDatabase & { readonly url: string }> {
  const server = await createTestDatabase({ empty: true });
  const database = createDatabase({ url: server.url });
  opened.push(server, database);
  return { ...database, url: server.url };
}

async function faultOf(promise: Promise<unknown>): Promise<ProgramFault> {
  const error: unknown = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(ProgramFault);
  return error as ProgramFault;
}

test('a fresh database gets every migration, in order', async () => {
  const database = await emptyDatabase();
  const done = await migrate(database);
  const names = await readdir(path.join(import.meta.dirname, 'migrations'));
  expect(done).toEqual(names.map((name) => Number(name.slice(0, 4))).sort((a, b) => a - b));
  expect(done.length).toBeGreaterThan(1);
  await checkSchema(database);
});

test('the second time there is nothing to do', async () => {
  const database = await emptyDatabase();
  expect(await migrate(database, { folder })).toEqual([1, 2]);
  expect(await migrate(database, { folder })).toEqual([]);
});

test('two servers that start at the same time share the work', async () => {
  const database = await emptyDatabase();
  const second = createDatabase({ url: database.url });
  opened.push(second);
  const done = await Promise.all([migrate(database, { folder }), migrate(second, { folder })]);
  expect(done.flat().sort((a, b) => a - b)).toEqual([1, 2]);
});

test('a schema of a newer server that this one can live with is left alone', async () => {
  const database = await emptyDatabase();
  await migrate(database, { folder });
  await database.db
    .insertInto('schema_state')
    .values({ number: 3, name: '0003-later', checksum: 'x', oldest_server: 2 })
    .execute();
  expect(await migrate(database, { folder })).toEqual([]);
  await checkSchema(database, { folder });
});

test('a schema that asks for a newer server is refused', async () => {
  const database = await emptyDatabase();
  await migrate(database, { folder });
  await database.db
    .insertInto('schema_state')
    .values({ number: 3, name: '0003-later', checksum: 'x', oldest_server: 3 })
    .execute();
  for (const start of [migrate, checkSchema]) {
    const fault = await faultOf(start(database, { folder }));
    expect(fault.exitCode).toBe(78);
    expect(fault.message).toContain('server 3 or newer');
  }
});

test('a migration that was changed after it was applied is refused', async () => {
  const database = await emptyDatabase();
  await migrate(database, { folder });
  await writeFile(path.join(folder, '0002-second.sql'), 'create table second (id bigint);\n');
  const fault = await faultOf(migrate(database, { folder }));
  expect(fault.exitCode).toBe(78);
  expect(fault.message).toContain('0002-second');
});

test('a server that does not migrate asks for what is missing', async () => {
  const database = await emptyDatabase();
  const fault = await faultOf(checkSchema(database, { folder }));
  expect(fault.exitCode).toBe(69);
  expect(fault.message).toContain('1, 2');
});

test('a migration that fails leaves nothing of itself', async () => {
  const database = await emptyDatabase();
  await writeFile(path.join(folder, '0002-second.sql'), 'create table second (id int); select 1/0;\n');
  await expect(migrate(database, { folder })).rejects.toThrow('division by zero');
  const { rows } = await sql<{ there: boolean }>`select to_regclass('second') is not null as there`.execute(
    database.db,
  );
  expect(rows).toEqual([{ there: false }]);
  await writeFile(path.join(folder, '0002-second.sql'), 'create table second (id int);\n');
  expect(await migrate(database, { folder })).toEqual([2]);
});

test('a server that dies in the middle of a migration leaves it to the next, which waits for it', async () => {
  const database = await emptyDatabase();
  const second = createDatabase({ url: database.url });
  opened.push(second);
  await writeFile(
    path.join(folder, '0002-second.sql'),
    'create table second (id int); insert into second values (1); select pg_sleep(60) where not exists (select from done);\n',
  );
  await writeFile(path.join(folder, '0001-first.sql'), 'create table first (id int); create table done (id int);\n');
  const dies = faultOf(migrate(database, { folder }));
  const migrating = async (): Promise<readonly number[]> => {
    const { rows } = await sql<{ pid: number }>`select pid from pg_stat_activity
      where datname = current_database() and wait_event = 'PgSleep'`.execute(database.db);
    return rows.map(({ pid }) => pid);
  };
  await expect.poll(migrating, { timeout: 10_000 }).toHaveLength(1);
  const waits = migrate(second, { folder });
  await sql`insert into done values (1)`.execute(database.db);
  for (const pid of await migrating()) await sql`select pg_terminate_backend(${pid})`.execute(database.db);
  expect((await dies).exitCode).toBe(69);
  expect(await waits).toEqual([2]);
  const { rows } = await sql`select id from second`.execute(database.db);
  expect(rows).toEqual([{ id: 1 }]);
});

test('a number may be left out, and none is there twice', async () => {
  const database = await emptyDatabase();
  const fourth = path.join(folder, '0004-fourth.sql');
  const again = path.join(folder, '0004-again.sql');
  await writeFile(fourth, '');
  expect(await migrate(database, { folder })).toEqual([1, 2, 4]);
  await writeFile(again, '');
  await expect(migrate(database, { folder })).rejects.toThrow('0004-fourth.sql has no number of its own');
  await rm(again);
  await rm(fourth);
});

test('a number that was left out and comes later is applied too', async () => {
  const database = await emptyDatabase();
  const [third, fourth] = ['0003-third.sql', '0004-fourth.sql'].map((name) => path.join(folder, name)) as [
    string,
    string,
  ];
  await writeFile(fourth, '');
  await migrate(database, { folder });
  await writeFile(third, 'create table third (id int);');
  await expect(checkSchema(database, { folder })).rejects.toThrow('3');
  expect(await migrate(database, { folder })).toEqual([3]);
  await rm(third);
  await rm(fourth);
});

test('a database that cannot be reached is the administrator’s to mend', async () => {
  await using database = createDatabase({ url: 'postgres://nobody@127.0.0.1:9/none' });
  const fault = await faultOf(migrate(database, { folder }));
  expect(fault.exitCode).toBe(69);
  expect(fault.hint).toContain('DATABASE_URL');
});

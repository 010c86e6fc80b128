import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { createDatabase, type PostgresDatabase } from './client.ts';
import { classifyPgError } from './pg-error.ts';
import { retryDelayMs, transact } from './tx.ts';

let server: TestDatabase;
let database: PostgresDatabase;
const errors: Error[] = [];

beforeAll(async () => {
  server = await createTestDatabase({ empty: true });
  database = createDatabase({
    url: server.url,
    applicationName: 'client-test',
    onConnectionError: (e) => errors.push(e),
  });
  await sql`create table counter (id int primary key, n int not null)`.execute(database.db);
  await sql`insert into counter values (1, 0), (2, 0)`.execute(database.db);
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

async function endConnections(name = 'client-test'): Promise<void> {
  const admin = createDatabase({ url: server.url, applicationName: 'admin' });
  await sql`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name = ${name}`.execute(admin.db);
  await admin[Symbol.asyncDispose]();
}

test('values arrive as they are agreed on', async () => {
  const { rows } = await sql`select 9007199254740993::int8 as id, array[1, -2]::int8[] as ids, '{}'::int8[] as none,
    date '2024-02-29' as day, '\\x00ff'::bytea as bytes, 7::int4 as small`.execute(database.db);
  expect(rows).toEqual([
    { id: 9007199254740993n, ids: [1n, -2n], none: [], day: '2024-02-29', bytes: Buffer.from([0, 255]), small: 7 },
  ]);
});

test('a statement with a name is prepared once a connection, one without is not', async () => {
  await database.db.connection().execute(async (db) => {
    for (const n of [1, 2]) await sql`/*by-name*/ select ${n}::int`.execute(db);
    await sql`select 3`.execute(db);
    const { rows } = await sql`select name from pg_prepared_statements`.execute(db);
    expect(rows).toEqual([{ name: 'by-name' }]);
  });
});

test('idle connections that the server ended are replaced', async () => {
  await sql`select 1`.execute(database.db);
  errors.length = 0;
  await endConnections();
  await expect.poll(() => errors.length, { timeout: 5000 }).toBeGreaterThan(0);
  const { rows } = await sql`select 1 as one`.execute(database.db);
  expect(rows).toEqual([{ one: 1 }]);
});

test('a URL in a file is read again for each new connection; one that is missing for a moment stays as it was', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-url-'));
  const urlFile = path.join(folder, 'url');
  // Passwords are not asked for here, so the user is what changes.
  const roles = ['first', 'second'].map((name) => `${name}_${process.pid}`);
  const urlOf = (role: string): string => Object.assign(new URL(server.url), { username: role }).toString();
  const [first = '', second = ''] = roles;
  for (const role of roles) await sql`create role ${sql.id(role)} login`.execute(database.db);
  await writeFile(urlFile, urlOf(first));
  {
    await using rotated = createDatabase({ url: urlOf(first), urlFile, applicationName: 'rotated' });
    const who = async () => (await sql<{ who: string }>`select current_user as who`.execute(rotated.db)).rows[0]?.who;
    expect(await who()).toBe(first);
    await writeFile(urlFile, `${urlOf(second)}\n`);
    expect(await who()).toBe(first);
    await endConnections('rotated');
    await expect.poll(() => who().catch(() => 'connection lost')).toBe(second);
    await rm(urlFile);
    const client = await rotated.connect('beside');
    expect((await client.query('select current_user as who')).rows).toEqual([{ who: second }]);
    await client.end();
  }
  for (const role of roles) await sql`drop role ${sql.id(role)}`.execute(database.db);
  await rm(folder, { recursive: true });
});

test('a connection that is lost inside a transaction fails it and nothing else', async () => {
  const lost = transact(database.db, async (tx) => {
    await sql`update counter set n = n + 1 where id = 1`.execute(tx);
    await endConnections();
    await sql`update counter set n = n + 1 where id = 2`.execute(tx);
  });
  const error: unknown = await lost.catch((error: unknown) => error);
  expect(classifyPgError(error).kind).toBe('unavailable');
  const { rows } = await sql`select sum(n)::int as sum from counter`.execute(database.db);
  expect(rows).toEqual([{ sum: 0 }]);
});

test('a connection that died unnoticed is replaced before the transaction begins', async () => {
  await sql`select 1`.execute(database.db);
  await endConnections();
  let runs = 0;
  const one = await transact(database.db, async (tx) => {
    runs++;
    return (await sql<{ one: number }>`select 1 as one`.execute(tx)).rows;
  });
  expect([runs, one]).toEqual([1, [{ one: 1 }]]);
});

test('a single connection has its own settings and survives its server', async () => {
  const client = await database.connect('single', { statement_timeout: '1234' });
  const { rows } = await client.query('show statement_timeout');
  expect(rows).toEqual([{ statement_timeout: '1234ms' }]);
  const ended = new Promise((resolve) => client.once('end', resolve));
  await endConnections('client-test single');
  await ended;
  await expect(client.query('select 1')).rejects.toThrow();
});

test('two transactions in each other’s way both succeed', async () => {
  let runs = 0;
  const raise = (first: number, second: number): Promise<void> =>
    transact(database.db, async (tx) => {
      runs++;
      await sql`update counter set n = n + 1 where id = ${first}`.execute(tx);
      await sql`select pg_sleep(0.1)`.execute(tx);
      await sql`update counter set n = n + 1 where id = ${second}`.execute(tx);
    });
  await Promise.all([raise(1, 2), raise(2, 1)]);
  expect(runs).toBeGreaterThan(2);
  const { rows } = await sql`select n from counter order by id`.execute(database.db);
  expect(rows).toEqual([{ n: 2 }, { n: 2 }]);
});

test('any other error is not tried again', async () => {
  let runs = 0;
  const failing = transact(database.db, async (tx) => {
    runs++;
    await sql`select 1 / 0`.execute(tx);
  });
  await expect(failing).rejects.toThrow('division by zero');
  expect(runs).toBe(1);
});

test('the wait between attempts grows, and is spread', () => {
  expect([1, 2, 3].map((attempt) => retryDelayMs(attempt, 1))).toEqual([10, 20, 40]);
  expect(retryDelayMs(3, 0.5)).toBe(20);
});

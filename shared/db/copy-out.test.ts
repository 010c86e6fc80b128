import { CompiledQuery, sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { createDatabase, type PostgresDatabase } from './client.ts';
import { RowMemory, type CopiedRow } from './copy-out.ts';
import { isConnectionLoss } from './pg-error.ts';

let server: TestDatabase;
/** Of one connection: what a statement leaves behind in it, the next one meets. */
let database: PostgresDatabase;
beforeAll(async () => {
  server = await createTestDatabase({ empty: true });
  database = createDatabase({ url: server.url, applicationName: 'copy-test', maxConnections: 1 });
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

async function copy(query: string): Promise<readonly CopiedRow[]> {
  return (await sql<CopiedRow>`${sql.raw(`copy (${query}) to stdout (format binary)`)}`.execute(database.db)).rows;
}

async function expectUsable(): Promise<void> {
  expect((await sql`select 1 as one`.execute(database.db)).rows).toEqual([{ one: 1 }]);
  expect(await copy(`select '\\x0102'::bytea`)).toEqual([[Buffer.from([1, 2])]]);
  expect(database.counts()).toEqual({ idle: 1, busy: 0, waiting: 0 });
}

test('rows come as bytes, nulls as null', async () => {
  expect(await copy(`select '\\x00ff'::bytea, null, ''::bytea`)).toEqual([
    [Buffer.from([0, 255]), null, Buffer.alloc(0)],
  ]);
  expect(await copy('select 1 where false')).toEqual([]);
  const long = await copy(`select decode(repeat('ab', 100000), 'hex') from generate_series(1, 50)`);
  expect(long.map(([bytes]) => bytes?.equals(Buffer.alloc(100_000, 0xab)))).toEqual(Array(50).fill(true));
});

test('rows lie in the memory that is handed in, as far as there is room in it', async () => {
  const memory = new RowMemory(1000);
  const read = async (letter: string): Promise<readonly (Buffer | null | undefined)[]> => {
    const text = `copy (select convert_to(repeat('${letter}', 400), 'utf8') from generate_series(1, 3)) to stdout (format binary)`;
    return (await database.db.executeQuery<CopiedRow>(CompiledQuery.raw(text, [memory]))).rows.map(([bytes]) => bytes);
  };
  const a = await read('a');
  expect(a.map(String)).toEqual(Array(3).fill('a'.repeat(400)));
  memory.reuse();
  expect((await read('b')).map(String)).toEqual(Array(3).fill('b'.repeat(400)));
  expect(a.map(String)).toEqual(['b'.repeat(400), 'b'.repeat(400), 'a'.repeat(400)]);
});

test('a statement that fails before or after its first rows leaves a connection that can be used', async () => {
  await expect(copy('select nothing from nowhere')).rejects.toThrow('nowhere');
  await expectUsable();
  await expect(copy('select 1 / (10000 - n) from generate_series(1, 20000) n')).rejects.toThrow('division by zero');
  await expectUsable();
  await expect(
    database.db.transaction().execute(async (tx) => {
      await sql`copy (select 1 / 0) to stdout (format binary)`.execute(tx);
    }),
  ).rejects.toThrow('division by zero');
  await expectUsable();
});

test('a connection that is lost in the middle fails the statement, and another one takes its place', async () => {
  const admin = createDatabase({ url: server.url, applicationName: 'admin' });
  const copying = copy(`select case when n = 20000 then pg_sleep(60) end from generate_series(1, 30000) n`).then(
    () => null,
    (error: unknown) => error,
  );
  const end = async (): Promise<number> =>
    (
      await sql`select pg_terminate_backend(pid) from pg_stat_activity
        where application_name = 'copy-test' and wait_event = 'PgSleep'`.execute(admin.db)
    ).rows.length;
  await expect.poll(end, { timeout: 20_000 }).toBe(1);
  expect(isConnectionLoss(await copying)).toBe(true);
  await admin[Symbol.asyncDispose]();
  await expect.poll(() => database.counts(), { timeout: 5000 }).toEqual({ idle: 0, busy: 0, waiting: 0 });
  await expectUsable();
});

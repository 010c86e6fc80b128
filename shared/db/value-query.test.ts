import { createHash, randomBytes } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { createDatabase, type PostgresDatabase } from './client.ts';
import { isConnectionLoss } from './pg-error.ts';
import { Pieces, queryValue, type ParameterValue } from './value-query.ts';

let server: TestDatabase;
let database: PostgresDatabase;
let client: pg.Client;
beforeAll(async () => {
  server = await createTestDatabase({ empty: true });
  database = createDatabase({ url: server.url });
  client = await database.connect('value-test');
});
afterAll(async () => {
  await client.end();
  await database[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

function ask(text: string, values: readonly ParameterValue[], name = text.slice(0, 60)): Promise<string | null> {
  return queryValue(client, { name, text, values }, 20_000);
}

const echo = 'select json_build_array($1::text, $2::int4, $3::int8, $4::bool, $5::text, encode($6::bytea, $7))';

test('parameters of every kind arrive, again and again under one name', async () => {
  for (const text of ['one', 'zwei ü 😀', '']) {
    const values = [text, -7, 2n ** 62n, true, null, Buffer.from([0, 255, 10]), 'hex'];
    expect(JSON.parse((await ask(echo, values)) ?? '')).toEqual([text, -7, Number(2n ** 62n), true, null, '00ff0a']);
  }
  expect(await ask('select null', [])).toBeNull();
  expect(await ask('select 1 where false', [])).toBeNull();
});

test.each([0, 1, 1000, 16 * 1024 - 1, 16 * 1024, 100_000, 3_000_000])('%i bytes, whole and in pieces', async (size) => {
  const bytes = randomBytes(size);
  const hash = createHash('sha256').update(bytes).digest('hex');
  const sum = `select encode(sha256($1), 'hex') || encode(sha256($2), 'hex') || encode(sha256($3), 'hex') || $4`;
  const at = [0, Math.floor(size / 3), Math.min(size, 20_000), size].toSorted((a, b) => a - b);
  const pieces = new Pieces(at.slice(1).map((end, i) => bytes.subarray(at[i], end)));
  expect(pieces.length).toBe(size);
  expect(await ask(sum, [bytes, pieces, new Pieces([bytes]), 'end'])).toBe(`${hash}${hash}${hash}end`);
  const { rows } = await client.query<{ hash: string }>(`select encode(sha256($1), 'hex') as hash`, [pieces]);
  expect(rows).toEqual([{ hash }]);
});

test('a statement that fails leaves a connection that can be used', async () => {
  await expect(ask('select 1 / $1::int4', [0])).rejects.toMatchObject({ code: '22012' });
  expect(await ask('select 1 / $1::int4', [1])).toBe('1');
  await expect(ask('select nothing from nowhere', [])).rejects.toMatchObject({ code: '42P01' });
  await expect(ask('select nothing from nowhere', [])).rejects.toMatchObject({ code: '42P01' });
  await expect(ask('copy (select 1) to stdout', [])).resolves.toBeNull();
  expect(await ask('select 2', [])).toBe('2');
  expect((await client.query('select 3 as three')).rows).toEqual([{ three: 3 }]);
});

test('a lost connection is told as one', async () => {
  const lost = await database.connect('lost');
  const { rows } = await lost.query<{ pid: number }>('select pg_backend_pid() as pid');
  const asked = queryValue(lost, { name: 'sleep', text: 'select pg_sleep($1)', values: [60] }, 20_000);
  const outcome = asked.catch((error: unknown) => error);
  await client.query('select pg_terminate_backend($1)', [rows[0]?.pid]);
  expect(isConnectionLoss(await outcome)).toBe(true);
  await expect(queryValue(lost, { name: 'one', text: 'select 1', values: [] }, 20_000)).rejects.toThrow();
});

test('an answer that takes too long is not waited for', async () => {
  const slow = await database.connect('slow');
  await expect(queryValue(slow, { name: 'sleep', text: 'select pg_sleep($1)', values: [60] }, 50)).rejects.toThrow(
    'timeout',
  );
  void slow.end().catch(() => undefined);
  await client.query(
    `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'postrider slow'`,
  );
});

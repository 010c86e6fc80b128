/** Any process of any server answers a challenge as soon as its row is there (RFC 8555 section 8.3). */
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { createDatabase } from '#shared/db/client.ts';
import { findKeyAuthorization, putChallenges, removeExpiredChallenges } from '#shared/directory/acme-challenges.ts';
import { createTestDatabase } from '../harness/database.ts';
import { freePorts } from '../harness/ports.ts';
import { startService } from '../harness/service.ts';

test('two processes answer for what is in the database, and for nothing else', async () => {
  const [port = 0] = await freePorts(1);
  const env = { PROCESSES: '2', ACME_HTTP_PORT: String(port) };
  await using service = await startService({ env });
  await using database = createDatabase({ url: service.databaseUrl, maxConnections: 2 });
  const ask = async (token: string) => {
    const response = await fetch(`http://127.0.0.1:${port}/.well-known/acme-challenge/${token}`);
    return [response.status, response.status === 200 ? await response.text() : await response.text().then(() => '')];
  };
  // Both processes, in turn: neither may remember that there was no answer.
  const both = async (token: string) => [await ask(token), await ask(token)];
  expect(await both('one')).toEqual([
    [404, ''],
    [404, ''],
  ]);
  await putChallenges(database.db, 'MailDomain/a', [{ token: 'one', keyAuthorization: 'one.thumb' }]);
  expect(await both('one')).toEqual([
    [200, 'one.thumb'],
    [200, 'one.thumb'],
  ]);
  await putChallenges(database.db, 'MailDomain/a', []);
  expect(await both('one')).toEqual([
    [404, ''],
    [404, ''],
  ]);
  expect((await fetch(`http://127.0.0.1:${port}/metrics`)).status).toBe(404);
});

test('challenges of one order take the place of those before, and end', async () => {
  await using test = await createTestDatabase();
  await using database = createDatabase({ url: test.url, maxConnections: 2 });
  const { db } = database;
  const put = (owner: string, ...tokens: readonly string[]) =>
    putChallenges(
      db,
      owner,
      tokens.map((token) => ({ token, keyAuthorization: `${token}.x` })),
    );
  await put('MailDomain/a', 'a1', 'a2');
  await put('MailDomain/b', 'b1');
  await put('MailDomain/a', 'a2', 'a3');
  const found = async (...tokens: readonly string[]) =>
    Promise.all(tokens.map((token) => findKeyAuthorization(db, token)));
  expect(await found('a1', 'a2', 'a3', 'b1')).toEqual([null, 'a2.x', 'a3.x', 'b1.x']);
  await db
    .updateTable('acme_challenge')
    .set({ expires_at: sql<Date>`now() - interval '1 second'` })
    .where('token', '=', 'b1')
    .execute();
  expect(await found('b1', 'a2')).toEqual([null, 'a2.x']);
  await removeExpiredChallenges(db);
  expect(await db.selectFrom('acme_challenge').select('token').orderBy('token').execute()).toEqual([
    { token: 'a2' },
    { token: 'a3' },
  ]);
});

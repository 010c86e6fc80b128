import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { createDatabase, type PostgresDatabase } from '../db/client.ts';
import { challengeToken, claimChannel, claimKey, noteContest, proveClaim, readClaims } from './domain-claims.ts';

let server: TestDatabase;
let database: PostgresDatabase;
beforeAll(async () => {
  server = await createTestDatabase();
  database = createDatabase({ url: server.url, maxConnections: 2 });
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const claim = { namespace: 'mail', domain: 'example.org' };

test('a token is the same again, and another for another namespace, domain or server', () => {
  const token = challengeToken('u1', claim);
  expect(token).toMatch(/^postrider-challenge=[0-9a-f]{40}$/);
  expect(challengeToken('u1', { ...claim })).toBe(token);
  const others = [
    challengeToken('u2', claim),
    challengeToken('u1', { ...claim, namespace: 'other' }),
    challengeToken('u1', { ...claim, domain: 'example.com' }),
  ];
  expect(new Set([token, ...others]).size).toBe(4);
});

test('what was proved is kept and told', async () => {
  const { db } = database;
  await using client = Object.assign(await database.connect('test'), {
    [Symbol.asyncDispose]: () => client.end(),
  });
  const heard = new Promise((resolve) => client.once('notification', resolve));
  await client.query(`listen ${claimChannel}`);
  expect(await proveClaim(db, claim)).toBe(true);
  await heard;
  expect(await proveClaim(db, claim)).toBe(false);
  expect(await proveClaim(db, { ...claim, namespace: 'other' })).toBe(true);
  expect(new Set((await readClaims(db)).keys())).toEqual(new Set([claimKey(claim), 'other/example.org']));
});

test('a claim is lost when its token was missing for long while another’s was there, and not before', async () => {
  const { db } = database;
  const holders = async (): Promise<readonly string[]> =>
    [...(await readClaims(db)).keys()].filter((key) => key.endsWith('/moved.test')).toSorted();
  for (const namespace of ['old', 'new']) await proveClaim(db, { namespace, domain: 'moved.test' });
  const look = (present: readonly string[], graceSeconds = 3600) =>
    noteContest(db, {
      domain: 'moved.test',
      present,
      absent: ['old', 'new'].filter((each) => !present.includes(each)),
      graceSeconds,
    });
  expect(await look(['new'])).toEqual([]);
  // Nobody's token: that is no proof of anybody's having the domain now.
  expect(await look([], 0)).toEqual([]);
  // It is back in time, and goes again: the time begins anew.
  await sql`update domain_claim set missing_since = now() - interval '59 minutes' where namespace = 'old'`.execute(db);
  expect(await look(['old', 'new'])).toEqual([]);
  expect(await look(['new'])).toEqual([]);
  expect(await holders()).toEqual(['new/moved.test', 'old/moved.test']);
  await sql`update domain_claim set missing_since = now() - interval '61 minutes' where namespace = 'old'`.execute(db);
  expect(await look(['new'])).toEqual(['old']);
  expect(await holders()).toEqual(['new/moved.test']);
});

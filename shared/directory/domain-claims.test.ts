import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { createDatabase, type PostgresDatabase } from '../db/client.ts';
import { challengeToken, claimChannel, claimKey, proveClaim, readClaims } from './domain-claims.ts';

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

test('what was proved is kept and told; the namespace of a domain that changed hands loses it', async () => {
  const { db } = database;
  await using client = Object.assign(await database.connect('test'), {
    [Symbol.asyncDispose]: () => client.end(),
  });
  const heard = new Promise((resolve) => client.once('notification', resolve));
  await client.query(`listen ${claimChannel}`);
  expect(await proveClaim(db, claim, [])).toBe(true);
  await heard;
  expect(await proveClaim(db, claim, [])).toBe(false);
  expect(await proveClaim(db, { ...claim, namespace: 'other' }, [])).toBe(true);
  expect(await readClaims(db)).toEqual(new Set([claimKey(claim), 'other/example.org']));
  expect(await proveClaim(db, { ...claim, namespace: 'third' }, ['mail', 'other'])).toBe(true);
  expect(await readClaims(db)).toEqual(new Set(['third/example.org']));
});

import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import type { RecipientOutcome } from '#server/mail/outbound-ports.ts';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { attemptFacts, outboundMessage, outboundRecipient } from './notice-fixtures.ts';
import { createSuppressionList, type SuppressionList } from './suppression.ts';

let server: TestDatabase;
let database: PostgresDatabase;
let list: SuppressionList;
beforeAll(async () => {
  server = await createTestDatabase();
  database = createDatabase({ url: server.url, maxConnections: 4 });
  list = createSuppressionList(database.db);
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

async function daysLeft(domain: string): Promise<number | null> {
  const { rows } = await sql<{ days: number | null }>`
    select extract(epoch from expires_at - now())::float8 / 86400 as days from suppression where domain = ${domain}`.execute(
    database.db,
  );
  const days = rows[0]?.days ?? null;
  return days === null ? null : Math.round(days);
}

test('a bounce holds for 30 days, the next one for a year; one heard twice is one', async () => {
  const entry = {
    domain: 'one.test',
    address: 'Bob@Elsewhere.test',
    origin: 'bounce',
    reason: '550 no such user',
  } as const;
  await list.add(entry);
  await list.add(entry);
  expect(await daysLeft('one.test')).toBe(30);
  expect(await list.list('one.test', null, 10)).toMatchObject([{ address: 'bob@elsewhere.test', hits: 1 }]);
  await sql`update suppression set since = since - interval '40 days', expires_at = now() - interval '10 days' where domain = 'one.test'`.execute(
    database.db,
  );
  expect(await list.list('one.test', null, 10)).toEqual([]);
  expect((await list.suppressed('one.test', ['bob@elsewhere.test'])).size).toBe(0);
  await list.add(entry);
  expect(await daysLeft('one.test')).toBe(365);
});

test('complaints and what an administrator says hold until they are removed, also over a later bounce', async () => {
  await list.add({ domain: 'two.test', address: 'a@x.test', origin: 'complaint', reason: 'abuse' });
  expect(await daysLeft('two.test')).toBeNull();
  await sql`update suppression set since = since - interval '2 hours'`.execute(database.db);
  await list.add({ domain: 'two.test', address: 'a@x.test', origin: 'bounce', reason: '550' });
  expect(await list.list('two.test', null, 10)).toMatchObject([{ origin: 'complaint', expiresAt: null }]);
});

test('it is of one domain, and told with its reason', async () => {
  await list.add({ domain: 'three.test', address: 'a@x.test', origin: 'manual', reason: 'asked for it' });
  const found = await list.suppressed('three.test', ['A@x.test', 'b@x.test']);
  expect([...found]).toEqual([['A@x.test', 'on the suppression list of three.test (manual: asked for it)']]);
  expect((await list.suppressed('four.test', ['a@x.test'])).size).toBe(0);
  expect(await list.remove('three.test', 'a@X.test')).toBe(true);
  expect(await list.remove('three.test', 'a@x.test')).toBe(false);
});

test('what is learned of outcomes: that there is no such mailbox, and nothing else', async () => {
  const message = outboundMessage({ domain: 'five.test' });
  const settled = (address: string, outcome: Partial<RecipientOutcome>) => ({
    message,
    recipient: outboundRecipient({ address }),
    outcome: { recipientId: 1n, facts: attemptFacts(550, '5.1.1', 'no such user'), ...outcome } as RecipientOutcome,
  });
  await list.learn([
    settled('gone@x.test', { kind: 'never', category: 'no-such-user' }),
    settled('disabled@x.test', { kind: 'never', category: 'mailbox-disabled' }),
    settled('unnamed@x.test', { kind: 'never', category: 'other' }),
    settled('full@x.test', { kind: 'never', category: 'other', facts: attemptFacts(552, '5.2.2', 'full') }),
    settled('spam@x.test', { kind: 'never', category: 'spam' }),
    settled('later@x.test', { kind: 'later', notBefore: null, category: 'no-such-user' }),
    settled('nowhere@x.test', {
      kind: 'never',
      category: 'no-such-user',
      facts: attemptFacts(null, '5.1.2', 'no such domain'),
    }),
  ]);
  await list.learn([
    {
      ...settled('notice@x.test', { kind: 'never', category: 'no-such-user' }),
      message: { ...message, origin: 'notice' },
    },
  ]);
  const addresses = (await list.list('five.test', null, 10)).map(({ address }) => address);
  expect(addresses).toEqual(['disabled@x.test', 'gone@x.test', 'unnamed@x.test']);
});

test('a long list comes in pages', async () => {
  for (const name of ['a', 'b', 'c'])
    await list.add({ domain: 'six.test', address: `${name}@x.test`, origin: 'manual', reason: 'x' });
  const first = await list.list('six.test', null, 2);
  expect(first.map(({ address }) => address)).toEqual(['a@x.test', 'b@x.test']);
  expect(await list.list('six.test', 'six.test b@x.test', 2)).toMatchObject([{ address: 'c@x.test' }]);
});

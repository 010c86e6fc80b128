import { afterAll, beforeAll, expect, test } from 'vitest';
import { sql } from 'kysely';
import type { AccountId } from '#shared/base/ids.ts';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import { createTestDatabase, type TestDatabase } from '../../test/harness/database.ts';
import { createSendingLimits, type SendingLimits } from './sending-limits.ts';
import { SubmissionRefusal } from './submission-fault.ts';

let server: TestDatabase;
let database: PostgresDatabase;
let limits: SendingLimits;
beforeAll(async () => {
  server = await createTestDatabase();
  database = createDatabase({ url: server.url, maxConnections: 10 });
  limits = createSendingLimits(database.db, { hour: null, day: 20, new: null });
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

let next = 0;
type Own = { readonly hour?: number; readonly day?: number; readonly fresh?: number; readonly savesSent?: boolean };

async function makeDomain(own: Own = {}): Promise<bigint> {
  const { id } = await database.db
    .insertInto('domain')
    .values({
      name: `d${++next}.test`,
      subaddress_delimiter: '+',
      catch_all_local: null,
      catch_all_domain: null,
      managed_by: 'nobody',
      messages_per_hour: own.hour ?? null,
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}

async function makeAccount(domainId: bigint, own: Own = {}): Promise<AccountId> {
  const { id } = await database.db
    .insertInto('account')
    .values({
      domain_id: domainId,
      local_part: `a${++next}`,
      managed_by: 'login',
      messages_per_hour: own.hour ?? null,
      messages_per_day: own.day ?? null,
      new_recipients_per_day: own.fresh ?? null,
      saves_sent: own.savesSent ?? false,
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  return id;
}

/** Null: taken. */
async function take(id: AccountId, recipients: readonly string[]): Promise<unknown> {
  const account = await limits.account(id);
  if (account === null) throw new Error('no account');
  try {
    await limits.take(id, account, recipients);
    return null;
  } catch (error) {
    if (error instanceof SubmissionRefusal) return error.fault;
    throw error;
  }
}

const people = (count: number): readonly string[] => Array.from({ length: count }, (_, n) => `p${n}@elsewhere.test`);

test('so many at once, and then as many as time has passed', async () => {
  const id = await makeAccount(await makeDomain(), { hour: 5 });
  for (let n = 0; n < 5; n++) expect(await take(id, ['x@elsewhere.test'])).toBeNull();
  const refused = await take(id, ['x@elsewhere.test']);
  expect(refused).toMatchObject({ kind: 'limit', scope: 'account', limit: 'hour' });
  const seconds = (refused as { retrySeconds: number }).retrySeconds;
  expect(seconds).toBeGreaterThan(710);
  expect(seconds).toBeLessThanOrEqual(720);
  // Twelve minutes, a fifth of an hour, later.
  await sql`update sending_rate set tat = tat - interval '12 minutes' where subject = ${`account ${id}`}`.execute(
    database.db,
  );
  expect(await take(id, ['x@elsewhere.test'])).toBeNull();
  expect(await take(id, ['x@elsewhere.test'])).not.toBeNull();
});

test('recipients are counted, and what is refused takes nothing', async () => {
  const id = await makeAccount(await makeDomain(), { hour: 10 });
  expect(await take(id, people(8))).toBeNull();
  expect(await take(id, people(3))).toMatchObject({ limit: 'hour' });
  expect(await take(id, people(2))).toBeNull();
  expect(await take(id, people(11))).toEqual({ kind: 'limit', scope: 'account', limit: 'hour', retrySeconds: null });
});

test('the defaults are for accounts without a limit of their own; 0 lets nothing out', async () => {
  const domain = await makeDomain();
  expect(await take(await makeAccount(domain), people(21))).toMatchObject({ limit: 'day', retrySeconds: null });
  expect(await take(await makeAccount(domain, { day: 30 }), people(21))).toBeNull();
  expect(await take(await makeAccount(domain, { hour: 0 }), people(1))).toMatchObject({ retrySeconds: null });
});

test('accounts of a domain share its limit', async () => {
  const domain = await makeDomain({ hour: 6 });
  const [one, other] = [await makeAccount(domain), await makeAccount(domain)];
  expect(await take(one, people(4))).toBeNull();
  expect(await take(other, people(4))).toMatchObject({ scope: 'domain', limit: 'hour' });
  expect(await take(other, people(2))).toBeNull();
});

test('new recipients alone count as new', async () => {
  const id = await makeAccount(await makeDomain(), { fresh: 3, day: 1000 });
  expect(await take(id, people(3))).toBeNull();
  expect(await take(id, people(3))).toBeNull();
  expect(await take(id, ['stranger@elsewhere.test'])).toMatchObject({ limit: 'new' });
  expect(await take(id, people(2))).toBeNull();
});

test('many at once, over several connections, take no more than there is', async () => {
  const id = await makeAccount(await makeDomain({ hour: 30 }), { hour: 20 });
  const taken = await Promise.all(Array.from({ length: 60 }, () => take(id, ['x@elsewhere.test'])));
  expect(taken.filter((fault) => fault === null)).toHaveLength(20);
});

test('the mailbox for copies is told where they are wished for', async () => {
  const domain = await makeDomain();
  expect((await limits.account(await makeAccount(domain)))?.sentMailboxId).toBeNull();
  const id = await makeAccount(domain, { savesSent: true });
  const sent = await database.db
    .selectFrom('mailbox')
    .select('id')
    .where('account_id', '=', id)
    .where('special_use', '=', 'Sent')
    .executeTakeFirst();
  expect(sent?.id).toBeDefined();
  expect((await limits.account(id))?.sentMailboxId).toBe(sent?.id);
});

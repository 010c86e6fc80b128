/** What an EXPUNGE of many messages leaves to the janitor, and what it must not. */
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import { uidSetOf } from '#server/mail/uid-set.ts';
import { openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { everyUid, TestAccount } from '../../test/contracts/store-under-test.ts';
import { brokenInvariants } from '../../test/harness/store-invariants.ts';
import { Janitor } from './pg-janitor.ts';

let under: PgStoreUnderTest;
beforeAll(async () => {
  under = await openPgStore();
});
afterAll(() => under[Symbol.asyncDispose]());

async function countRows(account: TestAccount, table: 'email' | 'email_loose'): Promise<number> {
  const { rows } = await sql<{ count: bigint }>`
    select count(*) from ${sql.table(table)} where account_id = ${account.id}`.execute(under.database.db);
  return Number(rows[0]?.count);
}

async function removeAll(account: TestAccount): Promise<void> {
  await account.change(everyUid, { flags: flagBits.deleted });
  await account.store.expunge(account.id, account.inboxId, null);
}

test('the quota is free at once, the emails go with the next sweep, and those that lie elsewhere stay', async () => {
  await using janitor = new Janitor({ database: under.database, graceSeconds: 0 });
  const account = await TestAccount.create(under);
  const trash = await account.mailbox('Trash');
  await account.append(150);
  await under.store.copy(account.id, account.inboxId, uidSetOf([3, 4, 5]), trash.id);
  const { usedBytes } = await under.store.quota(account.id);
  await removeAll(account);
  expect((await under.store.quota(account.id)).usedBytes).toBe((usedBytes / 153) * 3);
  expect(await countRows(account, 'email')).toBe(150);
  expect(await brokenInvariants(under.url)).toEqual([]);
  expect((await janitor.sweepOnce()).emails).toBe(147);
  expect(await countRows(account, 'email')).toBe(3);
  expect(await countRows(account, 'email_loose')).toBe(0);
  expect(await brokenInvariants(under.url)).toEqual([]);
  expect((await janitor.sweepOnce()).emails).toBe(0);
});

test('few go at once', async () => {
  const account = await TestAccount.create(under);
  await account.append(100);
  await removeAll(account);
  expect(await countRows(account, 'email')).toBe(0);
  expect(await countRows(account, 'email_loose')).toBe(0);
});

test('they go with their account', async () => {
  const account = await TestAccount.create(under);
  await account.append(101);
  await removeAll(account);
  expect(await countRows(account, 'email_loose')).toBe(1);
  await sql`delete from account where id = ${account.id}`.execute(under.database.db);
  expect(await countRows(account, 'email_loose')).toBe(0);
  expect(await brokenInvariants(under.url)).toEqual([]);
});

/** Pages that a process remembers are a guess: whatever another process did since must count. */
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import { uidSetOf } from '#server/mail/uid-set.ts';
import { openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { faultOf, messagesOf, TestAccount } from '../../test/contracts/store-under-test.ts';

const { seen, deleted, flagged } = flagBits;
const first = uidSetOf([1]);

let one: PgStoreUnderTest;
let other: PgStoreUnderTest;
beforeAll(async () => {
  one = await openPgStore();
  other = await openPgStore({ url: one.url });
});
afterAll(async () => {
  await other[Symbol.asyncDispose]();
  await one[Symbol.asyncDispose]();
});

const add = (flags: number) => ({ mode: 'add', flags, keywords: [] }) as const;
const remove = (flags: number) => ({ mode: 'remove', flags, keywords: [] }) as const;

test('a flag that another process took away is set again', async () => {
  const account = await TestAccount.create(one);
  await account.append(2);
  await account.change(first, add(seen));
  await other.store.storeFlags(account.id, account.inboxId, first, remove(seen));
  const stored = await account.change(first, add(seen));
  expect(messagesOf(await account.state())[0]?.flags).toBe(seen);
  expect(stored.mailbox).toEqual((await account.state()).mailbox);
});

test('a message that another process removed has no flags', async () => {
  const account = await TestAccount.create(one);
  await account.append(2);
  await account.change(first, add(deleted));
  await other.store.expunge(account.id, account.inboxId, null);
  expect(messagesOf(await account.change(first, add(deleted))).map(({ uid }) => uid)).not.toContain(1);
});

test('of a mailbox that another process deleted nothing is told', async () => {
  const account = await TestAccount.create(one);
  const { id } = await account.create('box');
  await account.append(1, { mailboxId: id });
  await account.change(first, add(seen), id);
  await other.store.deleteMailbox(account.id, id);
  expect(await faultOf(account.change(first, add(seen), id))).toMatchObject({ kind: 'no-such-mailbox' });
});

test('what a replica lacks that took the database’s place is not remembered', async () => {
  const account = await TestAccount.create(one);
  await account.append(2);
  const { db } = other.database;
  const tables = ['account_state', 'mailbox', 'mailbox_page'] as const;
  for (const table of tables) {
    await sql`create table ${sql.table(`replica_${table}`)} as table ${sql.table(table)}`.execute(db);
  }
  await account.change(first, add(seen));
  await sql`delete from change_log where account_id = ${account.id} and kind = 'flags'`.execute(db);
  await sql`update account_state t set modseq = r.modseq from replica_account_state r
    where t.account_id = ${account.id} and r.account_id = t.account_id`.execute(db);
  await sql`update mailbox t set highest_modseq = r.highest_modseq, unseen = r.unseen from replica_mailbox r
    where t.account_id = ${account.id} and r.account_id = t.account_id and r.id = t.id`.execute(db);
  await sql`update mailbox_page t set flags = r.flags, modseqs = r.modseqs, max_modseq = r.max_modseq
    from replica_mailbox_page r
    where t.account_id = ${account.id} and r.account_id = t.account_id and r.mailbox_id = t.mailbox_id
      and r.page = t.page`.execute(db);
  await other.store.storeFlags(account.id, account.inboxId, first, add(flagged));
  const known = one.database.generation();
  await sql`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()`.execute(db);
  await expect.poll(() => one.database.generation()).toBeGreaterThan(known);
  await account.change(first, add(deleted));
  expect(messagesOf(await account.state())[0]?.flags).toBe(flagged | deleted);
});

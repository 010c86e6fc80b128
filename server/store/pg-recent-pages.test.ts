/** Pages that a process remembers are a guess: whatever another process did since must count. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import { uidSetOf } from '#server/mail/uid-set.ts';
import { openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { faultOf, messagesOf, TestAccount } from '../../test/contracts/store-under-test.ts';

const { seen, deleted } = flagBits;
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

/** What is left for the next reader, and how it goes; that it is right is in the contract of the stores. */
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import { uidSet } from '#server/mail/uid-set.ts';
import type { MailboxId } from '#shared/base/ids.ts';
import { openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { TestAccount } from '../../test/contracts/store-under-test.ts';
import { Janitor } from './pg-janitor.ts';

let under: PgStoreUnderTest;
beforeAll(async () => {
  under = await openPgStore();
});
afterAll(() => under[Symbol.asyncDispose]());

async function packsOf(mailboxId: MailboxId): Promise<readonly (readonly [kind: string, page: number])[]> {
  const rows = await under.database.db
    .selectFrom('fetch_pack')
    .select(['kind', 'page'])
    .where('mailbox_id', '=', mailboxId)
    .orderBy('kind')
    .orderBy('page')
    .execute();
  return rows.map(({ kind, page }) => [kind.replace(/-.*/, ''), page]);
}

test('pages that are full and were read whole are packed; nothing is when little is asked for', async () => {
  const account = await TestAccount.create(under);
  await account.append(700);
  await account.fetch({ envelope: true }, uidSet([[1, 400]]));
  expect(await packsOf(account.inboxId)).toEqual([]);
  await account.fetch({ envelope: true }, uidSet([[100, 700]]));
  expect(await packsOf(account.inboxId)).toEqual([['envelope', 1]]);
  await account.fetch({ envelope: true, size: true, flags: true });
  expect(await packsOf(account.inboxId)).toEqual([
    ['envelope', 0],
    ['envelope', 1],
    ['size', 0],
    ['size', 1],
  ]);
});

test('they are what is read', async () => {
  const account = await TestAccount.create(under);
  await account.append(600);
  const fetched = await account.fetch({ envelope: true });
  const { db } = under.database;
  await sql`update fetch_pack set data = overlay(data placing 'X'::bytea from length(data)) where mailbox_id = ${account.inboxId}`.execute(
    db,
  );
  const again = await account.fetch({ envelope: true });
  const changed = again.filter(({ envelope }, i) => envelope !== fetched[i]?.envelope);
  expect(changed.map(({ uid }) => uid)).toEqual([255, 511]);
});

test('who asks for ever other fields fills no disk', async () => {
  const account = await TestAccount.create(under);
  await account.append(520);
  for (let n = 0; n < 15; n++) await account.fetch({ headerFields: [`X-${n}`] });
  expect((await packsOf(account.inboxId)).filter(([, page]) => page === 0)).toHaveLength(10);
});

test('they go with their mailbox, and when they have what was removed', async () => {
  const account = await TestAccount.create(under);
  const { id } = await account.store.createMailbox(account.id, 'Going', null);
  await account.append(520, { mailboxId: id });
  await account.append(520, { flags: flagBits.deleted });
  await account.fetch({ envelope: true }, uidSet([[1, 600]]), id);
  await account.fetch({ envelope: true });
  expect(await packsOf(id)).toHaveLength(2);
  await account.store.deleteMailbox(account.id, id);
  expect(await packsOf(id)).toEqual([]);
  await using janitor = new Janitor({ database: under.database });
  await janitor.sweepOnce();
  expect(await packsOf(account.inboxId)).toHaveLength(2);
  await account.store.expunge(account.id, account.inboxId, uidSet([[3, 5]]));
  expect((await janitor.sweepOnce()).fetchPacks).toBe(1);
  expect(await packsOf(account.inboxId)).toEqual([['envelope', 1]]);
  await account.fetch({ envelope: true });
  expect(await packsOf(account.inboxId)).toHaveLength(2);
});

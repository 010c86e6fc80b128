import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import type { SpooledMessage } from '#server/mail/ports.ts';
import type { AccountId } from '#shared/base/ids.ts';
import { openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { letter, TestAccount, unknownMailbox } from '../../test/contracts/store-under-test.ts';
import { spooled } from '../../test/harness/message.ts';
import { encodeBatch, storeBatchStatement, type BatchJob } from './pg-batch.ts';
import { encodePlainBatch, storePlainBatchStatement, storeSmallBatchStatement } from './pg-plain-batch.ts';
import { singleMessage } from './pg-single-message.ts';

let under: PgStoreUnderTest;
beforeAll(async () => {
  under = await openPgStore();
});
afterAll(() => under[Symbol.asyncDispose]());

/** Batches of these sizes: they begin pages, end at their ends and go over them. */
const sizes = [1, 3, 1, 250, 1, 2, 300, 1];

function jobsFor(accountId: AccountId, message: SpooledMessage, count: number, first = 0): readonly BatchJob[] {
  return Array.from({ length: count }, (_, n) => n + first).map((i) => ({
    items: [
      {
        message,
        accountId,
        mailboxId: null,
        prefix: Buffer.from(`X-Place: ${i}\r\n`),
        flags: i % 3 === 0 ? flagBits.seen : 0,
        keywords: [],
        internalDate: new Date(Date.UTC(2026, 0, 1 + i)),
      },
    ],
    refusesOverQuota: false,
    isUploaded: false,
  }));
}

/** Everything the database has of the account's mail, but for ids. */
async function rowsOf(accountId: AccountId): Promise<unknown> {
  const { rows } = await sql<{ all: unknown }>`select json_build_array(
      (select json_build_array(modseq, used_bytes, messages) from account_state where account_id = ${accountId}),
      (select json_build_array(uidnext, highest_modseq, messages, unseen, size) from mailbox
        where account_id = ${accountId} and name = 'INBOX'),
      (select json_agg(json_build_array(page, present, flags, modseqs, keywords, base_modseq, max_modseq) order by page)
        from mailbox_page where account_id = ${accountId}),
      (select json_agg(json_build_array(m.uid, m.size, m.internal_date, e.size, encode(e.prefix, 'escape'), e.envelope is not null)
        order by m.uid) from message m join email e on e.account_id = m.account_id and e.id = m.email_id
        where m.account_id = ${accountId}),
      (select json_agg(json_build_array(modseq, kind, uids) order by modseq) from change_log where account_id = ${accountId})
    ) as all`.execute(under.database.db);
  return rows[0]?.all;
}

test.each([
  ['for many mailboxes', storePlainBatchStatement, 29],
  ['for few mailboxes', storeSmallBatchStatement, 28],
])('the short form %s leaves what the general one leaves', { timeout: 60_000 }, async (_, statement, parameters) => {
  const [short, general] = [await TestAccount.create(under), await TestAccount.create(under)];
  const client = await under.database.connect('test');
  for (const size of sizes) {
    await using message = await spooled(letter());
    const values = encodePlainBatch(randomUUID(), jobsFor(short.id, message, size));
    const plain = await client.query<{ result: unknown[][] }>({
      ...statement,
      values: values?.slice(0, parameters) ?? [],
    });
    const other = await client.query<{ result: unknown[][] }>({
      ...storeBatchStatement,
      values: [...encodeBatch(randomUUID(), jobsFor(general.id, message, size))],
    });
    const placesOf = (rows: readonly unknown[][] | undefined) => rows?.map(([, uid, modSeq]) => [uid, modSeq]);
    expect(placesOf(plain.rows[0]?.result)).toEqual(placesOf(other.rows[0]?.result));
  }
  await client.end();
  expect(await rowsOf(short.id)).toEqual(await rowsOf(general.id));
});

test('the form for one message leaves what the general one leaves', { timeout: 60_000 }, async () => {
  const [short, general] = [await TestAccount.create(under), await TestAccount.create(under)];
  const client = await under.database.connect('test');
  const storeGenerally = (accountId: AccountId, message: SpooledMessage, count: number, first: number) =>
    client.query<{ result: unknown[][] }>({
      ...storeBatchStatement,
      values: [...encodeBatch(randomUUID(), jobsFor(accountId, message, count, first))],
    });
  // In an empty mailbox, to the end of a page and over it, of a message that is there already and a new one.
  for (const [place, count] of [1, 1, 251, 1, 1, 1, 1, 255, 1, 1].entries()) {
    await using message = await spooled(place % 2 === 0 ? letter() : `Subject: ${place}\r\n\r\n`);
    const single = singleMessage(randomUUID(), jobsFor(short.id, message, count, place));
    const stored = single
      ? await client.query<{ result: unknown[][] }>(single)
      : await storeGenerally(short.id, message, count, place);
    expect(single === null).toBe(count > 1);
    const other = await storeGenerally(general.id, message, count, place);
    const placesOf = (rows: readonly unknown[][] | undefined) => rows?.map(([, uid, modSeq]) => [uid, modSeq]);
    expect(placesOf(stored.rows[0]?.result)).toEqual(placesOf(other.rows[0]?.result));
  }
  await client.end();
  expect(await rowsOf(short.id)).toEqual(await rowsOf(general.id));
});

test('one message for a mailbox that is gone is refused as ever', async () => {
  const account = await TestAccount.create(under);
  await expect(account.deliver({ mailboxId: unknownMailbox })).rejects.toThrow('no-such-mailbox');
  expect(await account.uids()).toEqual([]);
  await account.deliver();
  expect(await account.uids()).toEqual([1]);
});

test('a mailbox that is gone is refused as ever, and its neighbour in the batch is stored', async () => {
  const [gone, there] = [await TestAccount.create(under), await TestAccount.create(under)];
  const outcomes = await Promise.allSettled([gone.deliver({ mailboxId: unknownMailbox }), there.deliver()]);
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
  expect(await there.uids()).toEqual([1]);
});

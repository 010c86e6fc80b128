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

let under: PgStoreUnderTest;
beforeAll(async () => {
  under = await openPgStore();
});
afterAll(() => under[Symbol.asyncDispose]());

/** Batches of these sizes: they begin pages, end at their ends and go over them. */
const sizes = [1, 3, 1, 250, 1, 2, 300, 1];

function jobsFor(accountId: AccountId, message: SpooledMessage, count: number): readonly BatchJob[] {
  return Array.from({ length: count }, (_, i) => ({
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

test('a mailbox that is gone is refused as ever, and its neighbour in the batch is stored', async () => {
  const [gone, there] = [await TestAccount.create(under), await TestAccount.create(under)];
  const outcomes = await Promise.allSettled([gone.deliver({ mailboxId: unknownMailbox }), there.deliver()]);
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
  expect(await there.uids()).toEqual([1]);
});

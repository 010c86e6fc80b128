/** New mail is put into pages by the database, everything else by mailbox-page-change.ts: both must do the same. */
import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { withKeywords } from '#server/mail/keyword-table.ts';
import { addToPage, changePageFlags } from '#server/mail/mailbox-page-change.ts';
import { emptyPage, pagesOf, type MailboxPage } from '#server/mail/mailbox-page.ts';
import { uidSet } from '#server/mail/uid-set.ts';
import { openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { TestAccount } from '../../test/contracts/store-under-test.ts';

let under: PgStoreUnderTest;
beforeAll(async () => {
  under = await openPgStore();
});
afterAll(() => under[Symbol.asyncDispose]());

const step = fc.record({
  /** How far the account's modseq has gone on meanwhile: also beyond 31 and 32 bits. */
  gap: fc.oneof(fc.nat(3), fc.constantFrom(2 ** 31 - 1, 2 ** 31, 2 ** 32 - 2, 2 ** 32 - 1, 2 ** 32, 2 ** 40)),
  count: fc.oneof(fc.integer({ min: 1, max: 4 }), fc.constant(250)),
  flags: fc.nat(31),
  keywords: fc.subarray(
    Array.from({ length: 20 }, (_, i) => `k${i}`),
    { maxLength: 3 },
  ),
  store: fc.boolean(),
});

function plainly(page: MailboxPage): unknown {
  const { present, flags, modSeqs, keywords } = page;
  const columns = { present, flags, modSeqs, keywords: keywords ?? new Uint8Array() };
  const hex = Object.entries(columns).map(([name, bytes]) => [name, Buffer.from(bytes).toString('hex')]);
  return { ...Object.fromEntries(hex), page: page.page, base: page.baseModSeq, max: page.maxModSeq };
}

test('with modseqs near and far, flags and keywords', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 6, size: 'max' }), async (steps) => {
      const account = await TestAccount.create(under);
      const expected = new Map<number, MailboxPage>();
      let table: readonly string[] = [];
      let first = 1;
      for (const { gap, count, flags, keywords, store } of steps) {
        await sql`update account_state set modseq = modseq + ${gap} where account_id = ${account.id}`.execute(
          under.database.db,
        );
        await account.append(count, { flags, keywords });
        const modSeq = (await account.mailbox('INBOX')).highestModSeq;
        const grown = withKeywords(table, keywords);
        table = grown.table;
        const messages = Array.from({ length: count }, () => ({ flags, keywordBits: grown.bits }));
        for (const [from, to] of pagesOf(uidSet([[first, first + count - 1]]))) {
          for (let n = from; n <= to; n++) {
            expected.set(n, addToPage(expected.get(n) ?? emptyPage(n), { first, modSeq, messages }));
          }
        }
        first += count;
        if (!store) continue;
        const change = { mode: 'add', flags: 16, keywordBits: [] } as const;
        await account.change(uidSet([[1, 2]]), change);
        const page = expected.get(0) ?? emptyPage(0);
        expected.set(0, changePageFlags(page, uidSet([[1, 2]]), change, modSeq + 1));
      }
      const { pages, mailbox } = await account.state();
      expect(mailbox.keywords).toEqual(table);
      expect(pages.map(plainly)).toEqual([...expected.values()].map(plainly));
    }),
    { numRuns: 12 },
  );
}, 120_000);

/** What the SQL of 0002-mail.sql says a second time, held against what TypeScript says. */
import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { changePageFlags } from '#server/mail/mailbox-page-change.ts';
import { emptyPage, modSeqOf, type MailboxPage } from '#server/mail/mailbox-page.ts';
import { initialMailboxes } from '#server/mail/mailbox.ts';
import { uidSetOf } from '#server/mail/uid-set.ts';
import { openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { messagesOf, TestAccount } from '../../test/contracts/store-under-test.ts';
import { boolArray, byteaArray, int4Array, int8Array, textArray, timestampArray } from './binary-array.ts';
import { raiseUidValidities } from './after-restore.ts';

let under: PgStoreUnderTest;
beforeAll(async () => {
  under = await openPgStore();
});
afterAll(() => under[Symbol.asyncDispose]());

test('a new account has the initial mailboxes, all subscribed', async () => {
  const account = await TestAccount.create(under);
  const mailboxes = await account.store.listMailboxes(account.id);
  const byName = initialMailboxes.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  expect(mailboxes.map(({ name, specialUse }) => ({ name, specialUse }))).toEqual(byName);
  expect(await account.store.listSubscriptions(account.id)).toEqual(byName.map(({ name }) => name));
});

test('keywords that a delivery brings are those that pages show', async () => {
  const account = await TestAccount.create(under);
  const keywords = Array.from({ length: 20 }, (_, i) => `k${i}`);
  // The entries grow from none to one, two and three bytes.
  await account.deliver();
  for (const keyword of keywords) await account.deliver({ keywords: [keyword, 'K0'] });
  const seen = messagesOf(await account.state()).map(({ keywords }) => keywords);
  expect(seen).toEqual([[], ...keywords.map((keyword) => Array.from(new Set(['k0', keyword])))]);
});

test('a page whose modseqs lie too far apart gets a new base', async () => {
  const account = await TestAccount.create(under);
  await account.deliver();
  await account.deliver();
  await sql`update account_state set modseq = 6000000000 where account_id = ${account.id}`.execute(under.database.db);
  const { modSeq } = await account.deliver();
  expect(modSeq).toBe(6_000_000_001);
  const [page] = (await account.state()).pages;
  const stored = [1, 2, 3].map((uid) => modSeqOf(page as MailboxPage, uid));
  expect(stored[2]).toBe(modSeq);
  // Those before can only have been raised, and stay below the new one.
  expect(stored[0]).toBeGreaterThan(0);
  expect(stored[1]).toBeLessThan(modSeq);
  await account.change([[1, 1]] as never, { flags: 1 });
  expect((await account.state()).mailbox.highestModSeq).toBe(modSeq + 1);
});

test('page_keyword sets the bit that TypeScript reads', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.nat(255), fc.nat(127)), { minLength: 1, maxLength: 8 }), async (set) => {
      let page: MailboxPage = {
        ...emptyPage(0),
        present: new Uint8Array(32).fill(255),
      };
      let keywords: Buffer | null = null;
      for (const [slot, bit] of set) {
        page = changePageFlags(page, uidSetOf([slot]), { mode: 'add', flags: 0, keywordBits: [bit] }, 5);
        const { rows } = await sql<{ keywords: Buffer }>`
          select page_keyword(${keywords}::bytea, ${slot}, ${bit}) as keywords`.execute(under.database.db);
        keywords = rows[0]?.keywords ?? null;
      }
      expect(keywords?.equals(page.keywords ?? Buffer.alloc(0))).toBe(true);
    }),
    { numRuns: 20 },
  );
});

test('arrays in binary arrive as they were', async () => {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
  const date = new Date('1999-12-31T23:59:58.123Z');
  const { rows } = await sql`select
    ${byteaArray([bytes, null, Buffer.alloc(0)])}::bytea[] as bytea,
    ${textArray(['ä€😀', null, '', '\'\\"{},'])}::text[] as text,
    ${int4Array([-1, 2_147_483_647])}::int4[] as int4,
    ${int8Array([-1n, 4_294_967_295])}::int8[] as int8,
    ${boolArray([true, false])}::bool[] as bool,
    ${timestampArray([date, null])}::timestamptz[] as at,
    cardinality(${int8Array([])}::int8[]) as none`.execute(under.database.db);
  expect(rows).toEqual([
    {
      bytea: [bytes, null, Buffer.alloc(0)],
      text: ['ä€😀', null, '', '\'\\"{},'],
      int4: [-1, 2_147_483_647],
      int8: [-1n, 4_294_967_295n],
      bool: [true, false],
      at: [date, null],
      none: 0,
    },
  ]);
});

test('after a restore every UIDVALIDITY is above any that was given before', async () => {
  const account = await TestAccount.create(under);
  const lost = await account.create('Made after the backup');
  const before = (await account.store.listMailboxes(account.id)).map(({ uidValidity }) => uidValidity);
  await account.store.deleteMailbox(account.id, lost.id);
  expect(await raiseUidValidities(under.database.db)).toBeGreaterThanOrEqual(initialMailboxes.length);
  const after = await account.store.listMailboxes(account.id);
  expect(Math.min(...after.map(({ uidValidity }) => uidValidity))).toBeGreaterThan(
    Math.max(...before, lost.uidValidity),
  );
  expect(new Set(after.map(({ uidValidity }) => uidValidity)).size).toBe(after.length);
  const next = await account.create('Later');
  expect(next.uidValidity).toBeGreaterThan(Math.max(...after.map(({ uidValidity }) => uidValidity)));
});

test('a name that had many others remembered still never gets an older UIDVALIDITY', async () => {
  const account = await TestAccount.create(under);
  const old = await account.create('Old');
  const name = await account.create('Name');
  await account.store.deleteMailbox(account.id, name.id);
  await sql`insert into mailbox_name select ${account.id}::int8, 'n' || n, 1 from generate_series(1, 10000) n`.execute(
    under.database.db,
  );
  // One more name than are remembered: all are forgotten, and that is remembered.
  const last = await account.create('Last');
  await account.store.deleteMailbox(account.id, last.id);
  await account.store.renameMailbox(account.id, old.id, 'Name');
  expect((await account.mailbox('Name')).uidValidity).toBeGreaterThan(name.uidValidity);
});

test('statements that are prepared outlive the migrations of a newer server', async () => {
  await using fresh = await openPgStore();
  const account = await TestAccount.create(fresh);
  const use = async (): Promise<void> => {
    await account.deliver();
    const everything = { flags: true, size: true, envelope: true, bodystructure: true, content: true };
    const { uid } = (await account.fetch(everything)).at(-1) ?? { uid: 0 };
    await account.change([[uid, uid]] as never, { flags: 2, keywords: ['k'] });
    await account.store.copy(account.id, account.inboxId, [[uid, uid]] as never, account.inboxId);
    expect((await account.bodies()).length).toBe((await account.uids()).length);
  };
  // Each connection of the pool prepares its own.
  for (let i = 0; i < 3; i++) await use();
  for (const table of [
    'mailbox',
    'message',
    'email',
    'blob',
    'mailbox_page',
    'account_state',
    'account',
    'change_log',
  ]) {
    await sql`alter table ${sql.table(table)} add column of_a_newer_server text default 'x'`.execute(fresh.database.db);
  }
  await use();
});

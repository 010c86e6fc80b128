/** Flags that come from remembered pages are those of now, whoever changed them. */
import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import { uidSet, type UidSet } from '#server/mail/uid-set.ts';
import { openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { faultOf, messagesOf, TestAccount } from '../../test/contracts/store-under-test.ts';

const { seen, deleted } = flagBits;
/** Of more than eight pages, which are read anew each time. */
const count = 2600;

let one: PgStoreUnderTest;
let other: PgStoreUnderTest;
let account: TestAccount;
beforeAll(async () => {
  one = await openPgStore();
  other = await openPgStore({ url: one.url });
  account = await TestAccount.create(one);
  await account.append(count);
});
afterAll(async () => {
  await other[Symbol.asyncDispose]();
  await one[Symbol.asyncDispose]();
});

const all = uidSet([[1, 4000]]);

async function fetched(uids: UidSet = all) {
  const messages = await account.fetch({ flags: true }, uids);
  return messages.map(({ uid, flags, keywords, modSeq }) => ({
    uid,
    flags,
    keywords: [...(keywords ?? [])].sort(),
    modSeq,
  }));
}

async function stored() {
  return messagesOf(await account.state()).filter(({ uid }) => uid <= 4000);
}

const range = fc
  .tuple(fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 0, max: 500 }))
  .map(([from, length]) => uidSet([[from, from + length]]));
const change = fc.oneof(
  fc.record({ do: fc.constantFrom('add', 'remove'), uids: range, keyword: fc.constantFrom(null, '$a', '$b') }),
  fc.record({ do: fc.constant('append'), uids: range, keyword: fc.constantFrom(null, '$c') }),
  fc.record({ do: fc.constant('expunge'), uids: range, keyword: fc.constant(null) }),
);

test('flags are those of now, whoever changed them', async () => {
  const { id, inboxId } = account;
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 5 }), fc.boolean(), async (changes, isOther) => {
      const { store } = isOther ? other : one;
      await fetched();
      for (const { do: what, uids, keyword } of changes) {
        const keywords = keyword === null ? [] : [keyword];
        if (what === 'append') await account.append(2, { keywords });
        else if (what === 'expunge') {
          const some = uids.map(([first]) => [first, first + 3] as [number, number]);
          await store.storeFlags(id, inboxId, uidSet(some), { mode: 'add', flags: deleted, keywords: [] });
          await store.expunge(id, inboxId, uidSet(some));
        } else if (what === 'add' || what === 'remove') {
          await store.storeFlags(id, inboxId, uids, { mode: what, flags: seen, keywords });
        }
        expect(await fetched()).toEqual(await stored());
      }
      expect(
        await fetched(
          uidSet([
            [2, 3],
            [600, 2000],
          ]),
        ),
      ).toEqual((await stored()).filter(({ uid }) => (uid >= 2 && uid <= 3) || (uid >= 600 && uid <= 2000)));
    }),
    { numRuns: 25 },
  );
}, 120_000);

test('where nothing changed no page is read', async () => {
  const known = await fetched();
  await sql`create table kept_page as table mailbox_page`.execute(one.database.db);
  await sql`delete from mailbox_page where account_id = ${account.id}`.execute(one.database.db);
  expect(await fetched()).toEqual(known);
  await sql`insert into mailbox_page select * from kept_page where account_id = ${account.id}`.execute(one.database.db);
});

test('of a mailbox that another process deleted nothing is told', async () => {
  const { id } = await account.create('box');
  await account.append(count, { mailboxId: id });
  await account.fetch({ flags: true }, all, id);
  await other.store.deleteMailbox(account.id, id);
  expect(await faultOf(account.fetch({ flags: true }, all, id))).toMatchObject({ kind: 'no-such-mailbox' });
});

test('pages that were read over connections that are gone are read anew', async () => {
  const known = await fetched();
  await sql`update mailbox_page set flags = decode(repeat('0004', 256), 'hex')
    where account_id = ${account.id} and mailbox_id = ${account.inboxId} and page = 0`.execute(other.database.db);
  expect(await fetched()).toEqual(known);
  const generation = one.database.generation();
  await sql`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()`.execute(other.database.db);
  await expect.poll(() => one.database.generation()).toBeGreaterThan(generation);
  const now = await fetched();
  expect(now).toEqual(await stored());
  expect(now).not.toEqual(known);
});

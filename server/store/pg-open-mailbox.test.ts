/** What a process remembers of a mailbox that it opened before is what the mailbox is now, whoever changed it meanwhile. */
import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import type { OpenedMailbox } from '#server/mail/ports.ts';
import { uidSet } from '#server/mail/uid-set.ts';
import { openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { messagesOf, TestAccount } from '../../test/contracts/store-under-test.ts';

const { seen } = flagBits;

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

type Seen = { readonly uids: readonly number[]; readonly firstUnseen: number | null; readonly mailbox: unknown };

function shown(opened: OpenedMailbox | null): Seen | null {
  if (opened === null) return null;
  const { mailbox, presence, firstUnseen } = opened;
  const uids = Array.from({ length: presence.count }, (_, i) => presence.uidAt(i + 1));
  return { uids, firstUnseen, mailbox };
}

/** Made of all pages. */
async function expected(account: TestAccount, name: string): Promise<Seen | null> {
  const found = await account.store.findMailbox(account.id, name);
  if (found === null) return null;
  const state = await account.state(found.id);
  const messages = messagesOf(state);
  const unseen = messages.find(({ flags }) => (flags & seen) === 0);
  return { uids: messages.map(({ uid }) => uid), firstUnseen: unseen?.uid ?? null, mailbox: state.mailbox };
}

// Pages are of 256 messages: these are in the first three.
const range = fc
  .tuple(fc.integer({ min: 1, max: 700 }), fc.integer({ min: 1, max: 400 }))
  .map(([from, length]) => uidSet([[from, from + length]]));
const change = fc.oneof(
  fc.record({ do: fc.constant('append'), count: fc.integer({ min: 1, max: 3 }), flags: fc.constantFrom(0, seen) }),
  fc.record({ do: fc.constantFrom('see', 'unsee', 'remove', 'move'), uids: range }),
  fc.record({ do: fc.constantFrom('make-anew', 'rename') }),
);
type Change = {
  readonly do: string;
  readonly count?: number;
  readonly flags?: number;
  readonly uids?: ReturnType<typeof uidSet>;
};

async function apply(account: TestAccount, name: string, { do: what, count = 0, flags = 0, uids = [] }: Change) {
  const { id } = await account.mailbox(name);
  const store = other.store;
  if (what === 'append') await account.append(count, { mailboxId: id, flags });
  else if (what === 'see' || what === 'unsee') {
    const mode = what === 'see' ? 'add' : 'remove';
    await store.storeFlags(account.id, id, uids, { mode, flags: seen, keywords: [] });
  } else if (what === 'remove') {
    await store.storeFlags(account.id, id, uids, { mode: 'add', flags: flagBits.deleted, keywords: [] });
    await store.expunge(account.id, id, uids);
  } else if (what === 'move') await store.move(account.id, id, uids, account.inboxId);
  else {
    if (what === 'rename') await store.renameMailbox(account.id, id, `${name} of old`);
    else await store.deleteMailbox(account.id, id);
    await account.create(name);
    await account.append(2, { mailboxId: (await account.mailbox(name)).id });
    if (what === 'rename') await store.deleteMailbox(account.id, id);
  }
}

test('a mailbox that was opened before is opened as it is now', async () => {
  const account = await TestAccount.create(one);
  let serial = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 8 }), async (changes: readonly Change[]) => {
      const name = `box ${serial++}`;
      const { id } = await account.create(name);
      await account.append(300, { mailboxId: id, flags: seen });
      await account.append(400, { mailboxId: id });
      for (const each of changes) {
        await one.store.openMailbox(account.id, name);
        await apply(account, name, each);
        expect(shown(await one.store.openMailbox(account.id, name))).toEqual(await expected(account, name));
      }
    }),
    { numRuns: 30 },
  );
}, 120_000);

test('a view of it does not change what is remembered', async () => {
  const account = await TestAccount.create(one);
  await account.append(3);
  const opened = await one.store.openMailbox(account.id, 'INBOX');
  const copy = opened?.presence.copy();
  copy?.remove(2);
  copy?.recount();
  expect([copy?.count, copy?.seqOf(3)]).toEqual([2, 2]);
  expect(shown(await one.store.openMailbox(account.id, 'INBOX'))?.uids).toEqual([1, 2, 3]);
});

test('where nothing changed no page is read', async () => {
  const account = await TestAccount.create(one);
  await account.append(2);
  const first = await one.store.openMailbox(account.id, 'INBOX');
  await sql`delete from mailbox_page where account_id = ${account.id}`.execute(one.database.db);
  expect((await one.store.openMailbox(account.id, 'INBOX'))?.presence).toBe(first?.presence);
  expect((await other.store.openMailbox(account.id, 'INBOX'))?.presence.count).toBe(0);
});

test('what was read over connections that are gone is read anew', async () => {
  const account = await TestAccount.create(one);
  await account.append(2);
  const first = await one.store.openMailbox(account.id, 'INBOX');
  const known = one.database.generation();
  await sql`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and pid <> pg_backend_pid()`.execute(other.database.db);
  await expect.poll(() => one.database.generation()).toBeGreaterThan(known);
  const again = await one.store.openMailbox(account.id, 'INBOX');
  expect(again?.presence).not.toBe(first?.presence);
  expect(shown(again)).toEqual(shown(first));
});

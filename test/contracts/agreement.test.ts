/** The two stores, given the same commands, show their clients the same. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MailError } from '#server/mail/mail-error.ts';
import type { SearchQuery } from '#server/mail/query.ts';
import { formatUidSet, uidSet, type UidSet } from '#server/mail/uid-set.ts';
import { MemoryMailStore } from '#server/store/memory-mail-store.ts';
import { openPgStore } from './pg-store.ts';
import { letter, messagesOf, TestAccount, everyUid, type StoreUnderTest } from './store-under-test.ts';

type Command = (account: TestAccount) => Promise<unknown>;

const name = fc.constantFrom('INBOX', 'inbox/a', 'Sent', 'a', 'a/b', 'a/b/c', 'b', 'B/', 'a//b', 'Spam');
/** Mostly there. */
const place = fc.constantFrom('INBOX', 'INBOX', 'Sent', 'Spam', 'a');
const raw = fc.constantFrom(...['one', 'two', 'three'].map((subject) => letter(subject, 'x'.repeat(400))));
const flags = fc.nat(31);
const keywords = fc.subarray(['Work', 'work', '$Junk', 'k3', 'k4', 'k5', 'k6', 'k7', 'k8', 'k9']);
const uid = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 200, max: 600 }));
const uids: fc.Arbitrary<UidSet> = fc.array(fc.tuple(uid, uid), { minLength: 1, maxLength: 3 }).map(uidSet);
const mode = fc.constantFrom('add', 'remove', 'replace');
const count = fc.oneof(fc.integer({ min: 1, max: 3 }), fc.constant(280));

const command: fc.Arbitrary<readonly [what: string, Command]> = fc.oneof(
  fc.tuple(name).map(([n]) => [`create ${n}`, (a: TestAccount) => a.create(n)] as const),
  fc
    .tuple(name)
    .map(
      ([n]) => [`delete ${n}`, async (a: TestAccount) => a.store.deleteMailbox(a.id, (await a.mailbox(n)).id)] as const,
    ),
  fc
    .tuple(name, name)
    .map(
      ([n, to]) =>
        [
          `rename ${n} ${to}`,
          async (a: TestAccount) => a.store.renameMailbox(a.id, (await a.mailbox(n)).id, to),
        ] as const,
    ),
  fc
    .tuple(name, fc.boolean())
    .map(([n, on]) => [`subscribe ${n} ${on}`, (a: TestAccount) => a.store.setSubscribed(a.id, n, on)] as const),
  fc
    .tuple(place, raw, flags, keywords)
    .map(
      ([n, raw, flags, keywords]) =>
        [
          `deliver ${n}`,
          async (a: TestAccount) => (await a.deliver({ raw, mailboxId: (await a.mailbox(n)).id, flags, keywords })).uid,
        ] as const,
    ),
  fc
    .tuple(place, count, raw, flags, keywords)
    .map(
      ([n, count, raw, flags, keywords]) =>
        [
          `append ${n} ${count}`,
          async (a: TestAccount) => a.append(count, { raw, mailboxId: (await a.mailbox(n)).id, flags, keywords }),
        ] as const,
    ),
  fc.tuple(place, uids, mode, flags, keywords).map(
    ([n, uids, mode, flags, keywords]) =>
      [
        `store ${n} ${formatUidSet(uids)} ${mode} ${flags} ${keywords.join(' ')}`,
        async (a: TestAccount) => {
          const state = await a.change(uids, { mode, flags, keywords }, (await a.mailbox(n)).id);
          return messagesOf(state).map(({ uid, flags, keywords }) => ({ uid, flags, keywords }));
        },
      ] as const,
  ),
  fc.tuple(fc.constantFrom('copy', 'move'), place, uids, place).map(
    ([verb, n, uids, to]) =>
      [
        `${verb} ${n} ${formatUidSet(uids)} ${to}`,
        async (a: TestAccount) => {
          const { source, destination } = await a.store[verb](
            a.id,
            (await a.mailbox(n)).id,
            uids,
            (await a.mailbox(to)).id,
          );
          return { source, destination };
        },
      ] as const,
  ),
  fc
    .tuple(place, fc.option(uids))
    .map(
      ([n, uids]) =>
        [
          `expunge ${n} ${uids && formatUidSet(uids)}`,
          async (a: TestAccount) => a.store.expunge(a.id, (await a.mailbox(n)).id, uids),
        ] as const,
    ),
);

/** What a command answers, without ids, or how it is refused. */
async function outcome(account: TestAccount, [, run]: readonly [string, Command]): Promise<unknown> {
  try {
    const value = await run(account);
    return typeof value === 'object' && value !== null && 'uidValidity' in value ? 'made' : value;
  } catch (error) {
    if (error instanceof MailError) return { refused: error.fault.kind };
    if (error instanceof Error && error.message.startsWith('there is no ')) return error.message;
    throw error;
  }
}

const seenWork: SearchQuery = {
  kind: 'or',
  of: [
    {
      kind: 'and',
      of: [
        { kind: 'flags', flags: 1 },
        { kind: 'keyword', keyword: 'WORK' },
      ],
    },
    { kind: 'header', name: 'Subject', contains: 'two' },
  ],
};

/** All that a client can see, but for ids, dates and modseqs. Checks on the way that one account agrees with itself. */
async function view(account: TestAccount): Promise<unknown> {
  const { store, id } = account;
  const mailboxes = [];
  let usedBytes = 0;
  for (const mailbox of await store.listMailboxes(id)) {
    const state = await account.state(mailbox.id);
    expect(state.mailbox).toEqual(mailbox);
    const fetched = await account.fetch({ flags: true, size: true }, everyUid, mailbox.id);
    const seen = messagesOf(state);
    expect(fetched.map(({ uid, flags, modSeq }) => ({ uid, flags, modSeq }))).toEqual(
      seen.map(({ uid, flags, modSeq }) => ({ uid, flags, modSeq })),
    );
    const sizeBytes = fetched.reduce((sum, { size = 0 }) => sum + size, 0);
    const unseen = seen.filter(({ flags }) => (flags & 1) === 0).length;
    expect(mailbox).toMatchObject({ messages: seen.length, unseen, sizeBytes });
    for (const { modSeq } of seen) expect(modSeq).toBeLessThanOrEqual(mailbox.highestModSeq);
    usedBytes += sizeBytes;
    const { name, specialUse, uidNext, keywords } = mailbox;
    mailboxes.push({
      header: { name, specialUse, uidNext, keywords, messages: seen.length, unseen, sizeBytes },
      messages: seen.map(({ uid, flags, keywords }) => ({ uid, flags, keywords })),
      sizes: fetched.map(({ size }) => size),
      found: await store.search(id, mailbox.id, seenWork, new AbortController().signal),
    });
  }
  const quota = await store.quota(id);
  expect(quota.usedBytes).toBe(usedBytes);
  return { mailboxes, quota, subscriptions: await store.listSubscriptions(id) };
}

let postgres: StoreUnderTest;
const memory = new MemoryMailStore();
const inMemory: StoreUnderTest = {
  store: memory,
  feed: memory.feed,
  createAccount: ({ limitBytes }) => Promise.resolve(memory.createAccount(limitBytes)),
  countBlobs: () => Promise.resolve(memory.blobCount),
  [Symbol.asyncDispose]: () => Promise.resolve(),
};

beforeAll(async () => {
  postgres = await openPgStore();
});
afterAll(() => postgres[Symbol.asyncDispose]());

test('in any order of commands', { timeout: 120_000 }, async () => {
  const commands = fc.array(command, { minLength: 5, maxLength: 30, size: 'max' });
  const limit = fc.constantFrom(null, 3000, 100_000);
  await fc.assert(
    fc.asyncProperty(commands, limit, async (commands, limit) => {
      const accounts = [await TestAccount.create(inMemory, limit), await TestAccount.create(postgres, limit)] as const;
      for (const command of commands) {
        const [expected, got] = [await outcome(accounts[0], command), await outcome(accounts[1], command)];
        expect([command[0], got]).toEqual([command[0], expected]);
      }
      expect(await view(accounts[1])).toEqual(await view(accounts[0]));
    }),
    { numRuns: 30 },
  );
});

test(
  'and at the same time: whatever the order was, each account agrees with itself',
  { timeout: 120_000 },
  async () => {
    for (const under of [inMemory, postgres]) {
      await fc.assert(
        fc.asyncProperty(fc.array(command, { minLength: 30, maxLength: 30, size: 'max' }), async (commands) => {
          const account = await TestAccount.create(under, 100_000);
          const other = await TestAccount.create(under, 100_000);
          await account.append(20);
          await Promise.all(commands.map((command, i) => outcome(i % 3 === 0 ? other : account, command)));
          await view(account);
          await view(other);
        }),
        { numRuns: 10 },
      );
    }
  },
);

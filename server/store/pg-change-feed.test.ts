import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createDatabase } from '#shared/db/client.ts';
import type { AccountId, MailboxId, ModSeq } from '#shared/base/ids.ts';
import type { ChangeHint } from '#server/mail/ports.ts';
import { openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { TestAccount } from '../../test/contracts/store-under-test.ts';
import { startProxy } from '../../test/harness/proxy.ts';
import { PgChangeFeed } from './pg-change-feed.ts';

let under: PgStoreUnderTest;
let other: PgStoreUnderTest;
beforeAll(async () => {
  under = await openPgStore();
  other = await openPgStore({ url: under.url });
});
afterAll(async () => {
  await other[Symbol.asyncDispose]();
  await under[Symbol.asyncDispose]();
});

/** Resolves with the first hint that `wanted` accepts. */
function hear(feed: PgChangeFeed, id: AccountId, wanted: (hint: ChangeHint) => boolean): Promise<ChangeHint> {
  return new Promise((resolve) => {
    const subscription = feed.subscribe(id, (hint) => {
      if (!wanted(hint)) return;
      subscription[Symbol.dispose]();
      resolve(hint);
    });
  });
}

test('another process hears within 200 ms', async () => {
  const account = await TestAccount.create(under);
  const heardUid = (): Promise<unknown> =>
    hear(other.feed, account.id, ({ mailboxIds }) => mailboxIds.includes(account.inboxId));
  const first = heardUid();
  await account.deliver();
  await first;
  const waits: number[] = [];
  for (let i = 0; i < 20; i++) {
    await sleep(120);
    const heard = heardUid();
    await account.deliver();
    const start = performance.now();
    await heard;
    waits.push(performance.now() - start);
  }
  expect(Math.max(...waits)).toBeLessThan(200);
});

test('a burst is told in few hints, and the last change is among them', async () => {
  const account = await TestAccount.create(under);
  const hints: ChangeHint[] = [];
  using _ = other.feed.subscribe(account.id, (hint) => hints.push(hint));
  const { modSeq } = await account.deliver();
  const last = modSeq + 100;
  // At once, however slow the machine is.
  for (let i = modSeq + 1; i <= last; i++) {
    under.feed.tell({ accountId: account.id, mailboxIds: [account.inboxId], modSeq: i as ModSeq });
  }
  await expect.poll(() => Math.max(0, ...hints.map((hint) => hint.modSeq)), { timeout: 5000 }).toBe(last);
  expect(hints.length).toBeLessThan(50);
});

test('an account that is quiet does not wait for one that is not', async () => {
  const [noisy, quiet] = [await TestAccount.create(under), await TestAccount.create(under)];
  const noise = setInterval(
    () => under.feed.tell({ accountId: noisy.id, mailboxIds: [noisy.inboxId], modSeq: 5 as ModSeq }),
    2,
  );
  onTestFinished(() => clearInterval(noise));
  const waits: number[] = [];
  for (let i = 1; i <= 9; i++) {
    await sleep(80);
    const heard = hear(other.feed, quiet.id, ({ modSeq }) => modSeq === i);
    const start = performance.now();
    under.feed.tell({ accountId: quiet.id, mailboxIds: [quiet.inboxId], modSeq: i as ModSeq });
    await heard;
    waits.push(performance.now() - start);
  }
  // The middle one: a busy machine may delay a few.
  expect(waits.sort((a, b) => a - b)[4]).toBeLessThan(35);
});

test('many accounts and mailboxes at once fit into the payloads', async () => {
  const ids = Array.from({ length: 2000 }, (_, i) => BigInt(`900000000${1_000_000 + i}`) as AccountId);
  const heard = new Map<AccountId, ChangeHint>();
  const subscriptions = ids.map((id) => other.feed.subscribe(id, (hint) => heard.set(id, hint)));
  for (const accountId of ids) {
    under.feed.tell({ accountId, mailboxIds: [7n as MailboxId, (accountId + 1n) as MailboxId], modSeq: 5 as ModSeq });
  }
  await expect.poll(() => heard.size, { timeout: 5000 }).toBe(ids.length);
  const [id] = ids;
  expect(id && heard.get(id)).toEqual({ accountId: id, mailboxIds: [7n, (id ?? 0n) + 1n], modSeq: 5 });
  for (const subscription of subscriptions) subscription[Symbol.dispose]();
});

test('what was missed while the connection was lost is found after it', async () => {
  const proxy = await startProxy(under.url);
  const database = createDatabase({ url: proxy.through(under.url) });
  const feed = new PgChangeFeed({ database });
  onTestFinished(async () => {
    await feed[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
  });
  const account = await TestAccount.create(under);
  const ready = hear(feed, account.id, () => true);
  await account.deliver();
  await ready;
  proxy.refuse(true);
  proxy.cut();
  const { modSeq } = await account.deliver();
  const gone = await account.create('Gone');
  await account.store.deleteMailbox(account.id, gone.id);
  const heard = hear(feed, account.id, (hint) => hint.mailboxIds.includes(account.inboxId) && hint.modSeq >= modSeq);
  const heardGone = hear(feed, account.id, ({ mailboxIds }) => mailboxIds.includes(gone.id));
  proxy.refuse(false);
  await Promise.all([heard, heardGone]);
});

test('a slow sweep finds changes that nobody told of', async () => {
  const feed = new PgChangeFeed({ database: under.database, sweepMs: 100 });
  onTestFinished(() => feed[Symbol.asyncDispose]());
  const account = await TestAccount.create(under);
  const { modSeq } = await account.deliver();
  await hear(feed, account.id, (hint) => hint.modSeq >= modSeq);
  const silent = await under.database.connect('silent');
  onTestFinished(() => silent.end());
  const heard = hear(feed, account.id, (hint) => hint.modSeq > modSeq && hint.mailboxIds.includes(account.inboxId));
  await silent.query('update account_state set modseq = modseq + 1 where account_id = $1', [account.id]);
  await silent.query('update mailbox set highest_modseq = highest_modseq + 1 where id = $1', [account.inboxId]);
  await heard;
});

test('a notification that could not be sent is sent later', async () => {
  const proxy = await startProxy(under.url);
  const database = createDatabase({ url: proxy.through(under.url) });
  const errors: unknown[] = [];
  const feed = new PgChangeFeed({ database, onError: (error) => errors.push(error) });
  onTestFinished(async () => {
    await feed[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
  });
  const account = await TestAccount.create(under);
  proxy.refuse(true);
  proxy.cut();
  const heard = hear(other.feed, account.id, ({ modSeq }) => modSeq === 77);
  feed.tell({ accountId: account.id, mailboxIds: [account.inboxId], modSeq: 77 as ModSeq });
  await expect.poll(() => errors.length, { timeout: 5000 }).toBeGreaterThan(0);
  proxy.refuse(false);
  expect((await heard).mailboxIds).toEqual([account.inboxId]);
});

test('a sweep finds what was lost, though a later change of the account was told', async () => {
  const account = await TestAccount.create(under);
  const trash = await account.mailbox('Trash');
  const { modSeq } = await account.deliver();
  const feed = new PgChangeFeed({ database: under.database, sweepMs: 1000 });
  onTestFinished(() => feed[Symbol.asyncDispose]());
  // It has swept once, and knows where the account stands.
  await hear(feed, account.id, (hint) => hint.modSeq >= modSeq);
  const { db } = under.database;
  // A process writes and is killed before it can tell; then another one writes and tells.
  await db
    .updateTable('account_state')
    .set({ modseq: BigInt(modSeq + 2) })
    .where('account_id', '=', account.id)
    .execute();
  await db
    .updateTable('mailbox')
    .set({ highest_modseq: BigInt(modSeq + 1) })
    .where('id', '=', account.inboxId)
    .execute();
  await db
    .updateTable('mailbox')
    .set({ highest_modseq: BigInt(modSeq + 2) })
    .where('id', '=', trash.id)
    .execute();
  const lost = hear(feed, account.id, ({ mailboxIds }) => mailboxIds.includes(account.inboxId));
  const told = hear(feed, account.id, ({ mailboxIds }) => mailboxIds.length === 1 && mailboxIds[0] === trash.id);
  other.feed.tell({ accountId: account.id, mailboxIds: [trash.id], modSeq: (modSeq + 2) as ModSeq });
  await told;
  await lost;
});

test('a notification that is not ours, or of a server to come, harms nobody', async () => {
  const errors: unknown[] = [];
  const feed = new PgChangeFeed({ database: under.database, onError: (error) => errors.push(error) });
  onTestFinished(() => feed[Symbol.asyncDispose]());
  const account = await TestAccount.create(under);
  const ready = hear(feed, account.id, () => true);
  await account.deliver();
  await ready;
  const stranger = await under.database.connect('stranger');
  onTestFinished(() => stranger.end());
  for (const payload of ['', 'hello', '{}', '["x",["not a number",1,[]]]']) {
    await stranger.query('select pg_notify($1, $2)', ['postrider_change', payload]);
  }
  const heard = hear(feed, account.id, () => true);
  await account.deliver();
  await heard;
  await expect.poll(() => errors.length).toBe(4);
});

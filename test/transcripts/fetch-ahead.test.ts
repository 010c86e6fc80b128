/** A client that fetches message after message: the store is asked for many at a time, and what is told stays true. */
import { expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import type { MailboxId } from '#shared/base/ids.ts';
import { MemoryMailStore } from '#server/store/memory-mail-store.ts';
import { uidSet } from '#server/mail/uid-set.ts';
import { Client } from './client.ts';
import { ImapUnderTest } from './imap-under-test.ts';

const count = 60;

test('one message after the other costs few reads of the store', async () => {
  await using session = await open();
  for (let n = 1; n <= count; n++) expect(await session.fetch(n)).toBe(n);
  expect(session.fetches()).toBeLessThan(8);
});

test('commands that come at once are answered in their order', async () => {
  await using session = await open();
  const { client } = session;
  client.send(Array.from({ length: count }, (_, i) => `p${i + 1} FETCH ${i + 1} BODY.PEEK[TEXT]\r\n`).join(''));
  for (let n = 1; n <= count; n++) {
    expect(await client.line()).toMatch(new RegExp(`^\\* ${n} FETCH `));
    expect(await client.line()).toBe(`body ${n}`);
    expect(await client.line()).toBe(')');
    expect(await client.line()).toBe(`p${n} OK FETCH completed`);
  }
});

test('a message that another session expunged is not shown from what was read ahead', async () => {
  await using session = await open();
  for (let n = 1; n <= 4; n++) await session.fetch(n);
  await session.expunge(6);
  expect(await session.fetch(5)).toBe(5);
  session.client.send('e1 FETCH 6 BODY.PEEK[TEXT]\r\n');
  expect(await session.client.line()).toMatch(/^e1 NO \[EXPUNGEISSUED\]/);
  expect(await session.fetch(7)).toBe(7);
});

test('a store that fails is told, and asked again', async () => {
  await using session = await open();
  for (let n = 1; n <= 2; n++) await session.fetch(n);
  session.imap.store.fault = { kind: 'unavailable' };
  session.client.send(`f1 FETCH 30 BODY.PEEK[TEXT]\r\nf2 FETCH 31 BODY.PEEK[TEXT]\r\n`);
  expect(await session.client.line()).toMatch(/^f1 NO \[UNAVAILABLE\]/);
  expect(await session.client.line()).toMatch(/^f2 NO \[UNAVAILABLE\]/);
  session.imap.store.fault = null;
  for (let n = 32; n <= 40; n++) expect(await session.fetch(n)).toBe(n);
});

async function open() {
  await using stack = new AsyncDisposableStack();
  const store = new MemoryMailStore();
  let fetches = 0;
  const counting = new Proxy(store, {
    get: (target, name) => {
      if (name === 'fetch') fetches += 1;
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === 'function' ? (member.bind(target) as unknown) : member;
    },
  });
  const imap = stack.use(
    await ImapUnderTest.open(
      {
        store: counting,
        feed: store.feed,
        createAccount: ({ limitBytes }) => Promise.resolve(store.createAccount(limitBytes)),
        countBlobs: () => Promise.resolve(store.blobCount),
        [Symbol.asyncDispose]: () => Promise.resolve(),
      },
      { policy: { allowCleartextLogin: true }, implicitTls: false, quotaBytes: null },
    ),
  );
  await imap.put(Array.from({ length: count }, (_, i) => ({ raw: `Subject: ${i + 1}\r\n\r\nbody ${i + 1}\r\n` })));
  const client = await Client.dial(imap.listener.port, false);
  stack.defer(() => client.destroy());
  await client.arrive('selected');
  const owned = stack.move();
  return {
    client,
    imap,
    fetches: () => fetches,
    /** Resolves with the number in the body. */
    async fetch(n: number): Promise<number> {
      const lines = await client.command(`FETCH ${n} BODY.PEEK[TEXT]`);
      return Number(/^body (\d+)$/.exec(lines[1] ?? '')?.[1]);
    },
    async expunge(uid: number): Promise<void> {
      const inbox = await store.findMailbox(imap.accountId, 'INBOX');
      const id = inbox?.id as MailboxId;
      const uids = uidSet([[uid, uid]]);
      await store.storeFlags(imap.accountId, id, uids, { mode: 'add', flags: flagBits.deleted, keywords: [] });
      await store.expunge(imap.accountId, id, uids);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** What happens at moments that a transcript can't name, or takes long. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { MailError } from '#server/mail/mail-error.ts';
import type { FetchedMessage, MailStore } from '#server/mail/ports.ts';
import { MemoryMailStore } from '#server/store/memory-mail-store.ts';
import { Client } from './client.ts';
import { fixtures } from './fixtures.ts';
import { ImapUnderTest } from './imap-under-test.ts';

const letter = 'Subject: New\r\n\r\nHello\r\n';

type Stage = { readonly imap: ImapUnderTest; readonly client: Client; readonly store: MemoryMailStore };

/** A client that has selected INBOX with two messages; `change` replaces methods of the store. */
async function open(change: (store: MemoryMailStore) => Partial<MailStore>): Promise<Stage & AsyncDisposable> {
  const store = new MemoryMailStore();
  const changed = change(store);
  const backend = {
    store: new Proxy<MailStore>(store, {
      get(target, name) {
        const method: unknown = Reflect.get(changed, name) ?? Reflect.get(target, name);
        return typeof method === 'function' ? (method.bind(target) as unknown) : method;
      },
    }),
    feed: store.feed,
    createAccount: () => Promise.resolve(store.createAccount(null)),
    countBlobs: () => Promise.resolve(store.blobCount),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  const policy = { allowCleartextLogin: true };
  const imap = await ImapUnderTest.open(backend, { policy, implicitTls: false, quotaBytes: null });
  await imap.put(fixtures['two-plain'] ?? []);
  const client = await Client.dial(imap.listener.port, false);
  await client.arrive('selected');
  return {
    imap,
    client,
    store,
    async [Symbol.asyncDispose]() {
      client.destroy();
      await imap[Symbol.asyncDispose]();
    },
  };
}

async function idle(client: Client): Promise<void> {
  client.send('a1 IDLE\r\n');
  expect(await client.line()).toMatch(/^\+/);
}

test('a change that comes while an idle session reads another one is told too', async () => {
  let during: (() => Promise<void>) | null = null;
  await using stage = await open((store) => ({
    async readState(...args) {
      const state = await store.readState(...args);
      await during?.();
      return state;
    },
  }));
  const { client, imap } = stage;
  await idle(client);
  during = async () => {
    during = null;
    await imap.deliver(letter, '');
    // Until the session has heard of it.
    await sleep(20);
  };
  await imap.deliver(letter, '');
  expect(await client.line()).toBe('* 3 EXISTS');
  expect(await client.line()).toBe('* 3 RECENT');
  expect(await client.line()).toBe('* 4 EXISTS');
});

test('a change that an idle session could not read is read later, without another hint', async () => {
  let faults = 0;
  await using stage = await open((store) => ({
    readState(...args) {
      if (faults-- > 0) return Promise.reject(new MailError({ kind: 'unavailable' }));
      return store.readState(...args);
    },
  }));
  const { client, imap } = stage;
  await idle(client);
  faults = 1;
  await imap.deliver(letter, '');
  expect(await client.line()).toBe('* 3 EXISTS');
});

test('a server that stops while an idle session reads says BYE at once', async () => {
  let isReading = false;
  await using stage = await open((store) => ({
    async readState(...args) {
      isReading = true;
      await sleep(100);
      return store.readState(...args);
    },
  }));
  const { client, imap } = stage;
  await idle(client);
  isReading = false;
  await imap.deliver(letter, '');
  await expect.poll(() => isReading).toBe(true);
  const closed = imap.listener.close(3_000);
  for (const answer of ['* 3 EXISTS', '* 3 RECENT']) expect(await client.line()).toBe(answer);
  expect(await client.line()).toMatch(/^\* BYE/);
  await closed;
});

test('a response that breaks off ends the connection: nothing is said inside of it', async () => {
  let reads = 0;
  const failing = ({ content, ...message }: FetchedMessage): FetchedMessage => {
    if (content === undefined) return message;
    const { prefix, rawSize, root } = content;
    async function* read(start: number, end: number): AsyncGenerator<Buffer> {
      if (++reads > 1) throw new MailError({ kind: 'unavailable' });
      yield* content?.read(start, end) ?? [];
    }
    return { ...message, content: { prefix, rawSize, root, read } };
  };
  await using stage = await open((store) => ({
    async *fetch(...args) {
      for await (const batch of store.fetch(...args)) yield batch.map(failing);
    },
  }));
  const { client } = stage;
  client.send('a1 FETCH 1 (BODY.PEEK[TEXT] BODY.PEEK[HEADER.FIELDS (SUBJECT)])\r\na2 NOOP\r\n');
  const heard: string[] = [];
  await expect(
    (async () => {
      for (;;) heard.push(await client.line());
    })(),
  ).rejects.toThrow('the server ended');
  expect(heard.filter((line) => /^a\d /.test(line))).toEqual([]);
  // Before anything of a response was sent there is a way to say no.
  const next = await Client.dial(stage.imap.listener.port, false);
  await next.arrive('selected');
  next.send('a1 FETCH 1 (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])\r\n');
  expect(await next.line()).toMatch(/^a1 NO \[UNAVAILABLE\]/);
  next.destroy();
});

test('a client that goes away while it searches is no fault of the server', async () => {
  let isSearching = false;
  let hasEnded = false;
  await using stage = await open(() => ({
    async search(_accountId, _mailboxId, _query, signal) {
      isSearching = true;
      await sleep(5_000, undefined, { signal }).finally(() => (hasEnded = true));
      return [];
    },
  }));
  const { client, imap } = stage;
  client.send('a1 SEARCH TEXT x\r\n');
  await expect.poll(() => isSearching).toBe(true);
  client.reset();
  await expect.poll(() => hasEnded).toBe(true);
  await expect.poll(() => imap.listener.connections).toBe(0);
  expect(imap.failures).toEqual([]);
});

/** The longest time, in ms, in which nothing else in this process had a turn. */
async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  let longest = 0;
  let last = performance.now();
  const timer = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 1);
  await work();
  clearInterval(timer);
  return Math.max(longest, performance.now() - last);
}

test('others have their turn while one asks for many sections of a large header', async () => {
  await using stage = await open(() => ({}));
  const { client, imap } = stage;
  await imap.put([{ raw: `${'X-Field: some value or other of a field\r\n'.repeat(10_000)}\r\nbody\r\n` }]);
  await client.command('NOOP');
  const items = Array.from({ length: 300 }, (_, n) => `BODY.PEEK[HEADER.FIELDS (X-Field-${n})]<9.1>`);
  expect(await longestTurn(() => client.command(`FETCH 3 (${items.join(' ')})`))).toBeLessThan(500);
});

test('others have their turn while one asks for names like long patterns', async () => {
  await using stage = await open(() => ({}));
  const { client, store, imap } = stage;
  for (let n = 0; n < 60; n++) {
    const name = `${'a'.repeat(700)}${n}`;
    await store.createMailbox(imap.accountId, name, null);
    await store.setSubscribed(imap.accountId, name, true);
  }
  const pattern = `${'*a'.repeat(690)}b`;
  expect(await longestTurn(() => client.command(`LSUB "" ${pattern}`))).toBeLessThan(500);
  expect(await longestTurn(() => client.command(`LIST "" (${pattern} ${pattern})`))).toBeLessThan(500);
});

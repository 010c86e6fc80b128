/** Many at once: who is in nobody's way must not wait for those who are. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createDatabase } from '#shared/db/client.ts';
import { flagBits } from '#server/mail/flags.ts';
import type { SpooledMessage } from '#server/mail/ports.ts';
import { openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { everyUid, letter, TestAccount } from '../../test/contracts/store-under-test.ts';
import { spooled } from '../../test/harness/message.ts';
import { brokenInvariants } from '../../test/harness/store-invariants.ts';
import { PgMailStore } from './pg-mail-store.ts';

let under: PgStoreUnderTest;
beforeAll(async () => {
  under = await openPgStore();
});
afterAll(() => under[Symbol.asyncDispose]());

/** A store that has few connections. */
function narrowStore(maxConnections: number): PgMailStore {
  const database = createDatabase({ url: under.url, maxConnections });
  const store = new PgMailStore({ database, tell: () => undefined });
  onTestFinished(async () => {
    await store[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
  });
  return store;
}

async function withLock(account: TestAccount, work: () => Promise<void>): Promise<void> {
  const blocker = await under.database.connect('blocker');
  try {
    await blocker.query('begin');
    await blocker.query('select from account_state where account_id = $1 for update', [account.id]);
    await work();
    await blocker.query('commit');
  } finally {
    await blocker.end();
  }
}

test('many changes of an account that is busy leave connections to all others', async () => {
  const [busy, free] = [await TestAccount.create(under), await TestAccount.create(under)];
  await busy.append(3);
  const store = narrowStore(4);
  const changes: Promise<unknown>[] = [];
  await withLock(busy, async () => {
    for (let i = 0; i < 12; i++) {
      const change = { mode: 'add' as const, flags: i % 2 ? flagBits.seen : flagBits.flagged, keywords: [`k${i}`] };
      changes.push(store.storeFlags(busy.id, busy.inboxId, everyUid, change));
    }
    await sleep(100);
    const start = performance.now();
    await store.readState(free.id, free.inboxId, 0 as never);
    await store.storeFlags(free.id, free.inboxId, everyUid, { mode: 'add', flags: 1, keywords: [] });
    expect(performance.now() - start).toBeLessThan(1000);
  });
  await Promise.all(changes);
  const { mailbox } = await busy.state();
  expect(mailbox.keywords).toEqual(Array.from({ length: 12 }, (_, i) => `k${i}`));
});

test('large messages on their way leave connections to others', async () => {
  const [busy, free] = [await TestAccount.create(under), await TestAccount.create(under)];
  const store = narrowStore(4);
  const open = Promise.withResolvers<void>();
  const uploads = Array.from({ length: 12 }, async () => {
    await using message = await spooled(letter('large', 'x'.repeat(1_200_000)));
    // A disk that doesn't give the spool's bytes yet.
    const slow: SpooledMessage = {
      ...message,
      size: message.size,
      hash: message.hash,
      index: message.index,
      inMemory: null,
      async *read(start, end) {
        await open.promise;
        yield* message.read(start, end);
      },
      [Symbol.asyncDispose]: () => message[Symbol.asyncDispose](),
    };
    return await store.append(busy.id, busy.inboxId, [{ message: slow, flags: 0, keywords: [], internalDate: null }]);
  });
  await sleep(200);
  try {
    const start = performance.now();
    await store.readState(free.id, free.inboxId, 0 as never);
    expect(performance.now() - start).toBeLessThan(1000);
  } finally {
    open.resolve();
    await Promise.allSettled(uploads);
  }
  await Promise.all(uploads);
  expect((await busy.uids()).length).toBe(12);
});

test('clients that take their time to read hold no connection', async () => {
  const [slow, free] = [await TestAccount.create(under), await TestAccount.create(under)];
  await slow.append(3, { raw: letter('large', 'x'.repeat(1_200_000)) });
  const store = narrowStore(2);
  const opened: AsyncIterator<unknown>[] = [];
  const firstOf = async (iterable: AsyncIterable<unknown>): Promise<void> => {
    const iterator = iterable[Symbol.asyncIterator]();
    opened.push(iterator);
    expect((await iterator.next()).done).toBe(false);
  };
  for (let i = 0; i < 6; i++) {
    await firstOf(store.fetch(slow.id, slow.inboxId, everyUid, { flags: true, envelope: true }));
    for await (const [message] of store.fetch(slow.id, slow.inboxId, everyUid, { content: true })) {
      // In the middle of a body.
      await firstOf(message?.content?.read(0, 1_200_000) as AsyncIterable<unknown>);
    }
  }
  const start = performance.now();
  await store.readState(free.id, free.inboxId, 0 as never);
  expect(performance.now() - start).toBeLessThan(1000);
  for (const iterator of opened) await iterator.return?.();
});

test('an account that others never let go of still gets its mail', { timeout: 60_000 }, async () => {
  const account = await TestAccount.create(under);
  const stop = new AbortController();
  // Always one that has the lock, and others that wait for it: it is handed on without a moment between.
  const hogs = Array.from({ length: 4 }, async () => {
    const client = await under.database.connect('hog');
    try {
      while (!stop.signal.aborted) {
        await client.query('begin');
        await client.query('select from account_state where account_id = $1 for update', [account.id]);
        await client.query('select pg_sleep(0.03)');
        await client.query('commit');
      }
    } finally {
      await client.end();
    }
  });
  await sleep(200);
  const start = performance.now();
  const raw = letter();
  try {
    await Promise.all(Array.from({ length: 5 }, () => account.deliver({ raw })));
    expect(performance.now() - start).toBeLessThan(10_000);
  } finally {
    stop.abort();
    await Promise.all(hogs);
  }
  expect(await account.uids()).toEqual([1, 2, 3, 4, 5]);
  expect(await brokenInvariants(under.url)).toEqual([]);
});

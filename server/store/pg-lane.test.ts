import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { createDatabase } from '#shared/db/client.ts';
import { insertAccount, openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { faultOf, letter, TestAccount } from '../../test/contracts/store-under-test.ts';
import { spooled } from '../../test/harness/message.ts';
import { startProxy, type Proxy } from '../../test/harness/proxy.ts';
import { encodeBatch, storeBatchStatement } from './pg-batch.ts';
import { PgMailStore } from './pg-mail-store.ts';

let under: PgStoreUnderTest;
beforeAll(async () => {
  under = await openPgStore();
});
afterAll(() => under[Symbol.asyncDispose]());

/** An account whose store reaches the database through a proxy; reads go the straight way. */
async function behindProxy(): Promise<{ account: TestAccount; far: PgMailStore; proxy: Proxy }> {
  const proxy = await startProxy(under.url);
  const database = createDatabase({ url: proxy.through(under.url) });
  const far = new PgMailStore({ database, tell: () => undefined });
  onTestFinished(async () => {
    proxy.inspect(null);
    proxy.refuse(false);
    await far[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
    await proxy[Symbol.asyncDispose]();
  });
  const account = await TestAccount.create({ ...under, store: far, [Symbol.asyncDispose]: () => Promise.resolve() });
  return { account, far, proxy };
}

/** Batches of this test: those committed, and those given up. */
async function countBatches(): Promise<{ committed: number; givenUp: number }> {
  const { rows } = await sql<{ committed: bigint; given_up: bigint }>`
    select count(result) as committed, count(*) filter (where result is null) as given_up from delivery_batch`.execute(
    under.database.db,
  );
  return { committed: Number(rows[0]?.committed), givenUp: Number(rows[0]?.given_up) };
}

const isBatch = (chunk: Buffer): boolean => chunk.includes('store-batch');

test('deliveries of one turn share a batch', async () => {
  const account = await TestAccount.create(under);
  const before = await countBatches();
  const delivered = await Promise.all(Array.from({ length: 50 }, () => account.deliver()));
  const { committed } = await countBatches();
  // Each message is spooled on its own, so a few come a moment later than the first.
  expect(committed - before.committed).toBeLessThan(25);
  expect(new Set(delivered.map(({ uid }) => uid)).size).toBe(50);
});

test('a message that cannot be stored fails alone', async () => {
  const account = await TestAccount.create(under);
  const keywords = Array.from({ length: 128 }, (_, i) => `k${i}`);
  await account.deliver({ keywords });
  const outcomes = await Promise.allSettled(
    Array.from({ length: 12 }, (_, i) => account.deliver(i === 5 ? { keywords: ['one-more'] } : {})),
  );
  expect(outcomes.map(({ status }) => status)).toEqual(outcomes.map((_, i) => (i === 5 ? 'rejected' : 'fulfilled')));
  expect((await faultOf(account.deliver({ keywords: ['another'] }))).kind).toBe('limit');
  expect(await account.uids()).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
});

test('the answer is lost after the commit: the batch is found, nothing is stored twice', async () => {
  const { account, proxy } = await behindProxy();
  await account.deliver();
  const before = await countBatches();
  let cuts = 0;
  proxy.inspect((from, chunk) => (from === 'client' && isBatch(chunk) && cuts++ === 0 ? 'cut' : 'pass'));
  const delivered = await account.deliver();
  expect(cuts).toBe(1);
  expect(delivered.uid).toBe(2);
  expect(await account.uids()).toEqual([1, 2]);
  expect(await countBatches()).toEqual({ committed: before.committed + 1, givenUp: before.givenUp });
});

test('the batch never arrives: it is given up for good and sent once more', async () => {
  const { account, proxy } = await behindProxy();
  await account.deliver();
  const before = await countBatches();
  let drops = 0;
  proxy.inspect((from, chunk) => {
    if (from !== 'client' || !isBatch(chunk) || drops++ > 0) return 'pass';
    setImmediate(() => proxy.cut());
    return 'drop';
  });
  const delivered = await account.deliver();
  expect(drops).toBeGreaterThan(1);
  expect(delivered.uid).toBe(2);
  expect(await account.uids()).toEqual([1, 2]);
  expect(await countBatches()).toEqual({ committed: before.committed + 1, givenUp: before.givenUp + 1 });
});

test('the old connection still works at the batch: its end is waited for', async () => {
  const { account, proxy } = await behindProxy();
  const raw = letter();
  await account.deliver({ raw });
  const before = await countBatches();
  const blocker = await under.database.connect('blocker');
  onTestFinished(() => blocker.end());
  await blocker.query('begin');
  await blocker.query('select from blob for update');
  const delivering = account.deliver({ raw });
  await waitForBlocked();
  proxy.cut();
  await sleep(200);
  await blocker.query('commit');
  expect((await delivering).uid).toBe(2);
  expect(await account.uids()).toEqual([1, 2]);
  expect(await countBatches()).toEqual({ committed: before.committed + 1, givenUp: before.givenUp });
});

test('a long change of one account holds up its own mail, not that of others', async () => {
  const [busy, free] = [await TestAccount.create(under), await TestAccount.create(under)];
  const blocker = await under.database.connect('blocker');
  onTestFinished(() => blocker.end());
  await blocker.query('begin');
  await blocker.query('select from account_state where account_id = $1 for update', [busy.id]);
  let isThere = false;
  const waiting = Promise.all(Array.from({ length: 3 }, () => busy.deliver())).then((delivered) => {
    isThere = true;
    return delivered;
  });
  for (let i = 0; i < 5; i++) {
    await free.deliver();
    await sleep(20);
  }
  expect(await free.uids()).toEqual([1, 2, 3, 4, 5]);
  expect(isThere).toBe(false);
  await blocker.query('commit');
  await waiting;
  expect(await busy.uids()).toEqual([1, 2, 3]);
});

test('while its account is busy a message’s bytes are sent once', async () => {
  const { account, proxy } = await behindProxy();
  const raw = letter('long', 'x'.repeat(700_000));
  let bytes = 0;
  let batches = 0;
  const blocker = await under.database.connect('blocker');
  onTestFinished(() => blocker.end());
  await blocker.query('begin');
  await blocker.query('select from account_state where account_id = $1 for update', [account.id]);
  proxy.inspect((from, chunk) => {
    if (from === 'client') bytes += chunk.length;
    if (from === 'client' && isBatch(chunk)) batches++;
    return 'pass';
  });
  const delivering = account.deliver({ raw });
  await sleep(600);
  await blocker.query('commit');
  await delivering;
  expect(batches).toBeGreaterThan(3);
  expect(bytes).toBeLessThan(800_000);
  expect(await account.bodies()).toEqual([raw]);
});

test('a batch that was given up can no longer commit', async () => {
  const account = await TestAccount.create(under);
  const id = randomUUID();
  await under.database.db.insertInto('delivery_batch').values({ id, result: null }).execute();
  await using message = await spooled(letter());
  const item = { message, accountId: account.id, mailboxId: null, prefix: Buffer.alloc(0), flags: 0, keywords: [] };
  const job = { items: [{ ...item, internalDate: null }], refusesOverQuota: false, isUploaded: false };
  const client = await under.database.connect('late');
  onTestFinished(() => client.end());
  const late = client.query({ ...storeBatchStatement, values: [...encodeBatch(id, [job])] });
  await expect(late).rejects.toMatchObject({ code: '23505' });
  expect(await account.uids()).toEqual([]);
});

test('without a database the answer is "later", and then all is well again', async () => {
  const { account, proxy } = await behindProxy();
  await account.deliver();
  proxy.refuse(true);
  proxy.cut();
  await sleep(20);
  expect((await faultOf(account.deliver())).kind).toBe('unavailable');
  expect((await faultOf(account.state())).kind).toBe('unavailable');
  proxy.refuse(false);
  await account.deliver();
  expect(await account.uids()).toEqual([1, 2]);
});

test('an idle connection that the server ended is replaced', async () => {
  const account = await TestAccount.create(under);
  await account.deliver();
  await sql`select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and application_name like '% delivery'`.execute(under.database.db);
  await account.deliver();
  expect(await account.uids()).toEqual([1, 2]);
});

test('two stores deliver to the same mailboxes: UIDs appear in ascending order, each once', async () => {
  await using other = await openPgStore({ url: under.url });
  const accounts = [await TestAccount.create(under), await TestAccount.create(under)];
  const done = new AbortController();
  const watch = async (account: TestAccount): Promise<void> => {
    let known: readonly number[] = [];
    while (!done.signal.aborted) {
      const uids = await account.uids();
      // A reader who has seen a UID has seen every one below it.
      expect(uids.slice(0, known.length)).toEqual(known);
      known = uids;
    }
  };
  const watching = accounts.map(watch);
  const raw = letter();
  const puts = Array.from({ length: 300 }, async (_, i) => {
    const { id, inboxId } = accounts[i % 2] as TestAccount;
    const store = i % 3 === 0 ? other.store : under.store;
    return appendOne(store, id, inboxId, i % 5 === 0 ? raw : letter());
  });
  const uids = await Promise.all(puts);
  done.abort();
  await Promise.all(watching);
  for (const [n, account] of accounts.entries()) {
    const given = uids.filter((_, i) => i % 2 === n).sort((a, b) => a - b);
    expect(given).toEqual(Array.from({ length: 150 }, (_, i) => i + 1));
    expect(await account.uids()).toEqual(given);
    expect(await account.bodies()).toHaveLength(150);
  }
});

async function appendOne(
  store: PgMailStore,
  accountId: TestAccount['id'],
  mailboxId: TestAccount['inboxId'],
  raw: string,
): Promise<number> {
  await using message = await spooled(raw);
  const { uids } = await store.append(accountId, mailboxId, [{ message, flags: 0, keywords: [], internalDate: null }]);
  return uids[0]?.[0] ?? 0;
}

async function waitForBlocked(): Promise<void> {
  for (;;) {
    const { rows } = await sql<{ waiting: boolean }>`
      select exists (select from pg_stat_activity
        where datname = current_database() and application_name like '% delivery' and wait_event_type = 'Lock') as waiting`.execute(
      under.database.db,
    );
    if (rows[0]?.waiting === true) return;
    await sleep(10);
  }
}

test('an account that is deleted takes its mail with it', async () => {
  const id = await insertAccount(under.database);
  const account = await TestAccount.create({
    ...under,
    createAccount: () => Promise.resolve(id),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  });
  await account.deliver();
  await account.store.deleteMailbox(id, (await account.create('Gone')).id);
  await under.database.db.deleteFrom('account').where('id', '=', id).execute();
  const tables = [
    'account_state',
    'mailbox',
    'mailbox_name',
    'subscription',
    'email',
    'message',
    'mailbox_page',
    'change_log',
  ] as const;
  for (const table of tables) {
    const { rows } = await sql`select from ${sql.table(table)} where account_id = ${id}`.execute(under.database.db);
    expect([table, rows.length]).toEqual([table, 0]);
  }
  expect((await faultOf(account.deliver())).kind).toBe('no-such-account');
});

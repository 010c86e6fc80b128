import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import type { MessageContent } from '#server/mail/ports.ts';
import { openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { bytesOf, everyUid, faultOf, letter, TestAccount } from '../../test/contracts/store-under-test.ts';
import { brokenInvariants } from '../../test/harness/store-invariants.ts';
import { Janitor } from './pg-janitor.ts';

let under: PgStoreUnderTest;
beforeAll(async () => {
  under = await openPgStore();
});
afterAll(() => under[Symbol.asyncDispose]());

async function removeAll(account: TestAccount): Promise<void> {
  await account.change(everyUid, { flags: flagBits.deleted });
  await account.store.expunge(account.id, account.inboxId, null);
}

async function countPieces(): Promise<number> {
  const { rows } = await sql<{ count: bigint }>`select count(*) from blob_piece`.execute(under.database.db);
  return Number(rows[0]?.count);
}

const large = letter('large', `${'x'.repeat(998)}\r\n`.repeat(1200));

test('a blob goes with the last message that has it, and not before', async () => {
  await using janitor = new Janitor({ database: under.database, graceSeconds: 0 });
  const [first, second] = [await TestAccount.create(under), await TestAccount.create(under)];
  for (const raw of [letter(), large]) {
    await first.deliver({ raw });
    await second.deliver({ raw });
    await removeAll(first);
    await janitor.sweepOnce();
    expect(await second.bodies()).toEqual([raw]);
    await removeAll(second);
    expect((await janitor.sweepOnce()).blobs).toBe(1);
  }
  expect(await under.countBlobs()).toBe(0);
  expect(await countPieces()).toBe(0);
});

test('a blob is kept for the grace period', async () => {
  await using janitor = new Janitor({ database: under.database });
  const account = await TestAccount.create(under);
  await account.deliver();
  await removeAll(account);
  expect((await janitor.sweepOnce()).blobs).toBe(0);
  await sql`update blob set at = now() - interval '61 minutes'`.execute(under.database.db);
  expect((await janitor.sweepOnce()).blobs).toBe(1);
});

test('who is reading a message when it goes is told to come again', async () => {
  await using janitor = new Janitor({ database: under.database, graceSeconds: 0 });
  // A small one's bytes come along with its row.
  for (const raw of [letter('middling', `${'x'.repeat(998)}\r\n`.repeat(200)), large]) {
    const account = await TestAccount.create(under);
    await account.deliver({ raw });
    const [message] = await account.fetch({ content: true });
    await removeAll(account);
    await janitor.sweepOnce();
    expect((await faultOf(bytesOf(message?.content as MessageContent))).kind).toBe('unavailable');
  }
});

test('while it sweeps without pause, identical mail arrives, is read and is removed', async () => {
  await using janitor = new Janitor({ database: under.database, graceSeconds: 0 });
  await using other = await openPgStore({ url: under.url });
  const small = [letter('one'), letter('two'), letter('three')];
  const done = new AbortController();
  let swept = 0;
  const sweeping = (async () => {
    while (!done.signal.aborted) swept += (await janitor.sweepOnce()).blobs;
  })();
  let read = 0;
  const work = async (store: PgStoreUnderTest, raws: readonly string[], rounds: number): Promise<void> => {
    const account = await TestAccount.create(store);
    for (let i = 0; i < rounds; i++) {
      const raw = raws[i % raws.length] ?? '';
      await account.deliver({ raw });
      const bodies = await account.bodies();
      expect(bodies.map((body) => body === raw)).toEqual([true]);
      read += bodies.length;
      await removeAll(account);
    }
  };
  try {
    await Promise.all([
      work(under, small, 80),
      work(other, small, 80),
      work(under, [large], 8),
      work(other, [large], 8),
    ]);
  } finally {
    done.abort();
    await sweeping;
  }
  expect(read).toBe(176);
  // The race took place: blobs went and were written again, many times.
  expect(swept).toBeGreaterThan(10);
  await janitor.sweepOnce();
  expect(await under.countBlobs()).toBe(0);
  expect(await countPieces()).toBe(0);
});

test('a delivery that waits for the sweep of its blob writes it again', async () => {
  const account = await TestAccount.create(under);
  const raw = letter();
  await account.deliver({ raw });
  await removeAll(account);
  const sweeper = await under.database.connect('sweeper');
  try {
    await sweeper.query('begin');
    await sweeper.query('delete from blob');
    const delivering = account.deliver({ raw });
    const { rows } = await sql<{ waits: boolean }>`
      select pg_sleep(0.2), exists (select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock') as waits`.execute(under.database.db);
    expect(rows[0]?.waits).toBe(true);
    await sweeper.query('commit');
    await delivering;
  } finally {
    await sweeper.end();
  }
  expect(await account.bodies()).toEqual([raw]);
});

test('old log entries and batches go, and the account knows from where its log is complete', async () => {
  await using janitor = new Janitor({ database: under.database, logSeconds: 3600 });
  const account = await TestAccount.create(under);
  const { db } = under.database;
  await janitor.sweepOnce();
  const { modSeq } = await account.deliver();
  await sql`update change_log set at = now() - interval '2 hours'`.execute(db);
  await sql`update delivery_batch set at = now() - interval '3 hours'`.execute(db);
  const later = await account.deliver();
  const swept = await janitor.sweepOnce();
  expect(swept.logEntries).toBeGreaterThan(0);
  expect(swept.batches).toBeGreaterThan(0);
  const log = await db.selectFrom('change_log').select('modseq').where('account_id', '=', account.id).execute();
  expect(log).toEqual([{ modseq: BigInt(later.modSeq) }]);
  const state = await db
    .selectFrom('account_state')
    .select('log_floor')
    .where('account_id', '=', account.id)
    .executeTakeFirstOrThrow();
  expect(state.log_floor).toBe(BigInt(modSeq));
});

test('the log of an account that is being changed is left for the next sweep', async () => {
  await using janitor = new Janitor({ database: under.database, logSeconds: 3600 });
  const { db } = under.database;
  const [busy, free] = [await TestAccount.create(under), await TestAccount.create(under)];
  await busy.deliver();
  await free.deliver();
  await sql`update change_log set at = now() - interval '2 hours'`.execute(db);
  const countLog = async ({ id }: TestAccount): Promise<number> =>
    (await db.selectFrom('change_log').select('modseq').where('account_id', '=', id).execute()).length;
  const blocker = await under.database.connect('blocker');
  try {
    await blocker.query('begin');
    await blocker.query('select from account_state where account_id = $1 for update', [busy.id]);
    await janitor.sweepOnce();
    expect([await countLog(busy), await countLog(free)]).toEqual([1, 0]);
    await blocker.query('commit');
  } finally {
    await blocker.end();
  }
  await janitor.sweepOnce();
  expect(await countLog(busy)).toBe(0);
  expect(await brokenInvariants(under.url)).toEqual([]);
});

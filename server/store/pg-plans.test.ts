/** The plans of the hot statements on a database with some mail in it: each must go by an index. */
import { randomUUID } from 'node:crypto';
import { sql, type CompiledQuery } from 'kysely';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import { flagBits } from '#server/mail/flags.ts';
import { uidSet } from '#server/mail/uid-set.ts';
import { openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { everyUid, letter, TestAccount } from '../../test/contracts/store-under-test.ts';
import { spooled } from '../../test/harness/message.ts';
import { encodeBatch, storeBatchStatement } from './pg-batch.ts';
import { writerSettings } from './pg-batch-writer.ts';
import { PgMailStore } from './pg-mail-store.ts';

const large = ['account_state', 'blob', 'blob_piece', 'change_log', 'email', 'mailbox', 'mailbox_page', 'message'];

let under: PgStoreUnderTest;
let account: TestAccount;
let store: PgMailStore;
let watched: PostgresDatabase;
let queries: CompiledQuery[] = [];

beforeAll(async () => {
  under = await openPgStore();
  const { db } = under.database;
  account = await TestAccount.create(under);
  await account.append(600);
  // Accounts, mailboxes and messages enough that reading a whole table would be the worse plan.
  await sql`insert into account (domain_id, local_part, managed_by)
    select domain_id, 'user' || n, 'nobody' from account, generate_series(1, 1000) n`.execute(db);
  await sql`insert into email (account_id, blob_hash, prefix, size, envelope, bodystructure, parts)
    select m.account_id, sha256((m.account_id || ' ' || n)::bytea), '', 1000, repeat('e', 300), repeat('b', 200), '[0,0,0,0,0,0]'
    from generate_series(1, 30) n, mailbox m where m.name = 'INBOX' and m.account_id <> ${account.id}`.execute(db);
  await sql`insert into message (account_id, mailbox_id, uid, email_id, size, internal_date)
    select m.account_id, m.id, row_number() over (partition by m.id order by e.id), e.id, e.size, now()
    from email e join mailbox m on m.account_id = e.account_id and m.name = 'INBOX' and m.account_id <> ${account.id}`.execute(
    db,
  );
  await sql`insert into mailbox_page select m.account_id, m.id, n, p.present, p.flags, p.modseqs, p.keywords, p.base_modseq, p.max_modseq
    from mailbox m, generate_series(0, 1) n, (select * from mailbox_page limit 1) p where m.account_id <> ${account.id}`.execute(
    db,
  );
  await sql`insert into blob (hash, size, raw) select distinct blob_hash, 1000, ''::bytea from email on conflict do nothing`.execute(
    db,
  );
  await sql`insert into change_log (account_id, modseq, mailbox_id, kind)
    select account_id, n, id, 'flags' from mailbox, generate_series(1000, 1002) n`.execute(db);
  await sql`analyze`.execute(db);

  watched = createDatabase({ url: under.url, onQuery: (query) => queries.push(query) });
  store = new PgMailStore({ database: watched, tell: () => undefined });
});
afterAll(async () => {
  await store[Symbol.asyncDispose]();
  await watched[Symbol.asyncDispose]();
  await under[Symbol.asyncDispose]();
});

type Plan = { readonly 'Node Type': string; readonly 'Relation Name'?: string; readonly Plans?: readonly Plan[] };

function scansOf(plan: Plan): readonly string[] {
  const own = plan['Node Type'] === 'Seq Scan' ? [plan['Relation Name'] ?? ''] : [];
  return [...own, ...(plan.Plans ?? []).flatMap(scansOf)];
}

/** Statements of `work` that read a large table from end to end. */
async function fullScansOf(work: () => Promise<unknown>): Promise<readonly string[]> {
  queries = [];
  await work();
  const seen = queries.filter(({ sql }) => /^\s*(?:\/\*|select|with|update|insert|delete)/i.test(sql));
  expect(seen.length).toBeGreaterThan(0);
  const bad: string[] = [];
  for (const query of seen) {
    const { rows } = await under.database.db.executeQuery<{ 'QUERY PLAN': readonly { Plan: Plan }[] }>({
      ...query,
      sql: `explain (format json) ${query.sql.replace(/^\s*\/\*[a-z-]*\*\//, '')}`,
    });
    const scans = rows.flatMap((row) => row['QUERY PLAN']).flatMap(({ Plan }) => scansOf(Plan));
    if (scans.some((table) => large.includes(table))) bad.push(`${scans.join(', ')}: ${query.sql}`);
  }
  return bad;
}

async function drain(batches: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of batches);
}

describe('goes by an index:', () => {
  const some = uidSet([
    [1, 50],
    [300, 320],
  ]);
  const { signal } = new AbortController();
  const work: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['SELECT and what a session polls', () => store.readState(account.id, account.inboxId, 0 as never)],
    ['LIST', () => store.listMailboxes(account.id)],
    ['STATUS', () => store.findMailbox(account.id, 'INBOX')],
    ['FETCH FLAGS', () => drain(store.fetch(account.id, account.inboxId, some, { flags: true }))],
    [
      'FETCH of everything',
      () =>
        drain(
          store.fetch(account.id, account.inboxId, some, {
            flags: true,
            internalDate: true,
            size: true,
            envelope: true,
            bodystructure: true,
            content: true,
          }),
        ),
    ],
    [
      'SEARCH in headers',
      () => store.search(account.id, account.inboxId, { kind: 'header', name: 'Subject', contains: 'x' }, signal),
    ],
    [
      'STORE',
      () => store.storeFlags(account.id, account.inboxId, some, { mode: 'add', flags: flagBits.seen, keywords: ['k'] }),
    ],
    ['COPY', async () => store.copy(account.id, account.inboxId, some, (await account.mailbox('Trash')).id)],
    ['MOVE', async () => store.move(account.id, account.inboxId, some, (await account.mailbox('Sent')).id)],
    [
      'EXPUNGE',
      async () => {
        const { id } = await account.mailbox('Trash');
        await account.change(some, { flags: flagBits.deleted }, id);
        await store.expunge(account.id, id, null);
      },
    ],
    ['RENAME', async () => store.renameMailbox(account.id, (await account.create('From')).id, 'To')],
    ['DELETE', async () => store.deleteMailbox(account.id, (await account.create('Doomed')).id)],
    ['\\Recent', () => store.claimRecent(account.id, account.inboxId, 5 as never)],
    ['quota', () => store.quota(account.id)],
  ];
  test.each(work)('%s', async (_name, run) => {
    expect(await fullScansOf(run)).toEqual([]);
  });

  /** How often each large table was read from end to end; `client` is the only one that has. */
  async function scansBy(client: pg.Client): Promise<readonly unknown[]> {
    await client.query('select pg_stat_force_next_flush()');
    const { rows } = await client.query<{ relname: string }>({
      text: `select relname, seq_scan from pg_stat_user_tables where relname = any ($1) order by relname`,
      values: [large],
    });
    expect(rows).toHaveLength(large.length);
    return rows;
  }

  test('what change_mail does inside', async () => {
    const { db } = under.database;
    const client = await under.database.connect('plans');
    const trash = (await account.mailbox('Trash')).id;
    const before = await scansBy(client);
    for (const kind of ['copy', 'move', 'expunge']) {
      const { rows } = await sql<{ modseq: bigint; uidnext: bigint }>`
        select s.modseq, m.uidnext from account_state s join mailbox m on m.account_id = s.account_id and m.id = ${trash}
        where s.account_id = ${account.id}`.execute(db);
      const from = kind === 'copy' ? account.inboxId : trash;
      const { rows: uids } = await sql<{ uid: bigint }>`
        select uid from message where account_id = ${account.id} and mailbox_id = ${from} order by uid limit 20`.execute(
        db,
      );
      const ends = uids.map(({ uid }) => String(uid));
      const answer = await client.query<{ outcome: string }>({
        text: `select change_mail($1, $2, $3, $4, $5, $6, $6, $7, 1e12::int8, null, array[$5::int8], '{20}', '{0}', '{0}', '{0}',
          '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}') as outcome`,
        values: [account.id, rows[0]?.modseq, kind, from, trash, ends, rows[0]?.uidnext].map((value) =>
          typeof value === 'bigint' ? String(value) : value,
        ),
      });
      expect(answer.rows).toEqual([{ outcome: 'done' }]);
    }
    expect(await scansBy(client)).toEqual(before);
    await client.end();
  });

  test('delivery', async () => {
    const client = await under.database.connect('plans', writerSettings);
    const before = await scansBy(client);
    for (let i = 0; i < 3; i++) {
      await using message = await spooled(letter());
      const item = { message, accountId: account.id, mailboxId: null, prefix: Buffer.from('X: y\r\n') };
      const job = {
        items: [{ ...item, flags: 0, keywords: ['k'], internalDate: null }],
        refusesOverQuota: true,
        isUploaded: false,
      };
      await client.query({ ...storeBatchStatement, values: [...encodeBatch(randomUUID(), [job])] });
    }
    expect(await scansBy(client)).toEqual(before);
    await client.end();
  });
});

test('mail that the statistics know nothing of is not worked on in loops within loops', async () => {
  await using fresh = await openPgStore();
  const { db } = fresh.database;
  for (const table of ['message', 'email', 'mailbox_page', 'blob']) {
    await sql`alter table ${sql.table(table)} set (autovacuum_enabled = off)`.execute(db);
  }
  const user = await TestAccount.create(fresh);
  const trash = await user.mailbox('Trash');
  for (let i = 0; i < 10; i++) await user.append(1000);
  const start = performance.now();
  await user.store.copy(user.id, user.inboxId, everyUid, trash.id);
  await drain(user.store.fetch(user.id, user.inboxId, everyUid, { flags: true, envelope: true, content: true }));
  await user.store.search(user.id, user.inboxId, { kind: 'larger', bytes: 1 }, new AbortController().signal);
  await user.store.move(user.id, user.inboxId, everyUid, trash.id);
  await user.change(everyUid, { flags: flagBits.deleted }, trash.id);
  await user.store.expunge(user.id, trash.id, null);
  // A second or two; with such loops a minute or two.
  expect(performance.now() - start).toBeLessThan(20_000);
  expect((await user.store.quota(user.id)).usedBytes).toBe(0);
});

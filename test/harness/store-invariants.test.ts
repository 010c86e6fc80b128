import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openPgStore, type PgStoreUnderTest } from '../contracts/pg-store.ts';
import { letter, TestAccount } from '../contracts/store-under-test.ts';
import { brokenInvariants } from './store-invariants.ts';

let under: PgStoreUnderTest;
let client: pg.Client;
beforeAll(async () => {
  under = await openPgStore();
  client = new pg.Client({ connectionString: under.url });
  await client.connect();
  const account = await TestAccount.create(under);
  await account.create('A/B');
  await account.deliver({ keywords: ['k'] });
  await account.deliver({ raw: letter('large', 'x'.repeat(1_200_000)) });
});
afterAll(async () => {
  await client.end();
  await under[Symbol.asyncDispose]();
});

test('a store that was only used as it should be breaks none', async () => {
  expect(await brokenInvariants(under.url)).toEqual([]);
});

/** Each way to break a rule, and a word of the rule that must be found broken. */
test.each([
  ['delete from account_state', 'has its counters'],
  ['delete from account', null],
  [`insert into subscription values (99, 'x')`, 'goes with it'],
  ['update account_state set used_bytes = used_bytes - 1', 'account counts'],
  ['update mailbox set unseen = unseen + 1', 'mailbox counts'],
  ['update mailbox set size = size + 1', 'mailbox counts'],
  ['insert into message values (1, 99, 1, 1, 9, now())', 'those of mailboxes'],
  ['update mailbox_page set present = set_bit(present, 7, 1)', 'shows messages only'],
  ['delete from message where uid = 1', 'shows messages only'],
  ['delete from message where uid = 1', 'an email a message'],
  ['update email set size = size + 1', 'the size of blob'],
  ['update message set size = size + 1', 'an email a message of its size'],
  ['delete from blob', 'an email has a blob'],
  ['delete from blob', 'belongs to a blob'],
  ['delete from blob_piece where piece = 1', 'is whole'],
  [`update blob set raw = raw || 'x' where raw is not null`, 'is whole'],
  ['update mailbox_page set flags = set_byte(flags, 101, 1)', 'has no flags'],
  ['update mailbox set uidnext = 2 where uidnext = 3', 'uidnext'],
  ['update mailbox set recent_from = 9', 'recent_from'],
  ['update mailbox_page set max_modseq = max_modseq - 1', 'highest modseq'],
  ['update mailbox set highest_modseq = 1', 'highest modseq'],
  ['update account_state set modseq = 2', 'ahead of its account'],
  ['delete from change_log where modseq = 3', 'has every modseq'],
  ['update change_log set mailbox_id = mailbox_id + 99', 'names the mailbox'],
  [`update mailbox set keywords = '{}'`, 'keywords of a page'],
  [`update mailbox set keywords = '{k,K}'`, 'keywords of a page'],
  [`update mailbox set name = 'C' where name = 'A'`, 'lies below'],
  [`insert into mailbox_name select account_id, name, uidvalidity from mailbox`, 'UIDVALIDITY'],
])('%s', async (statement, rule) => {
  await client.query('begin');
  try {
    await client.query(statement);
    const broken = await brokenInvariants(client);
    if (rule === null) expect(broken).toEqual([]);
    else expect(broken.filter((text) => text.split(': ')[0]?.includes(rule))).not.toEqual([]);
  } finally {
    await client.query('rollback');
  }
});

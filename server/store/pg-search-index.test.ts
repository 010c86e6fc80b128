import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SearchQuery } from '#server/mail/query.ts';
import type { AccountId, MailboxId, Uid } from '#shared/base/ids.ts';
import { openPgStore, type PgStoreUnderTest } from '../../test/contracts/pg-store.ts';
import { letter, TestAccount } from '../../test/contracts/store-under-test.ts';
import { corpusMessages } from '../../test/corpus/corpus.ts';
import { spooled } from '../../test/harness/message.ts';
import { sweepLooseEmails } from './pg-loose-emails.ts';
import { askIndex, indexVersion } from './pg-search-index.ts';
import { SearchIndexer } from './pg-search-indexer.ts';
import { claim, dropIndex, findWaiting, release, worthwhile, worthwhileAtRest } from './pg-search-queue.ts';
import { addSegment, joinSmallSegments } from './pg-search-segments.ts';
import { buildSegment } from './pg-search-builder.ts';
import { searchMailbox } from './pg-search.ts';

let under: PgStoreUnderTest;
beforeAll(async () => {
  under = await openPgStore();
});
afterAll(() => under[Symbol.asyncDispose]());

const { signal } = new AbortController();
const header = (name: string, contains: string): SearchQuery => ({ kind: 'header', name, contains });
const body = (contains: string): SearchQuery => ({ kind: 'body', contains });
const text = (contains: string): SearchQuery => ({ kind: 'text', contains });
const not = (of: SearchQuery): SearchQuery => ({ kind: 'not', of });

async function index(accountId: AccountId): Promise<boolean> {
  await using indexer = new SearchIndexer({ database: under.database });
  return await indexer.indexAccount(accountId);
}

type Where = { readonly id: AccountId; readonly mailboxId: MailboxId };

function search({ id, mailboxId }: Where, query: SearchQuery, indexFrom = 0): Promise<readonly Uid[]> {
  return searchMailbox(under.database.db, { accountId: id, mailboxId }, query, { signal, indexFrom });
}

/** As if there were no index. */
function scan(where: Where, query: SearchQuery): Promise<readonly Uid[]> {
  return search(where, query, Infinity);
}

async function expectSame(where: Where, query: SearchQuery): Promise<readonly Uid[]> {
  const found = await scan(where, query);
  expect(await search(where, query), JSON.stringify(query)).toEqual(found);
  return found;
}

async function segments(accountId: AccountId): Promise<number> {
  const { rows } = await sql<{ count: bigint }>`
    select count(*) from search_segment where account_id = ${accountId}`.execute(under.database.db);
  return Number(rows[0]?.count);
}

/** Inserts one email a message, so that the index has as many. */
async function put(account: TestAccount, messages: readonly (string | Buffer)[]): Promise<void> {
  for (let at = 0; at < messages.length; at += 100) {
    const spools = await Promise.all(messages.slice(at, at + 100).map((raw) => spooled(raw)));
    const items = spools.map((message) => ({ message, flags: at % 2, keywords: [], internalDate: null }));
    await account.store.append(account.id, account.inboxId, items);
    await Promise.all(spools.map((spool) => spool[Symbol.asyncDispose]()));
  }
}

const letters = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, n) =>
    letter(`subject number${from + n}`, `body of word${(from + n) % 7} here\r\n`),
  );

test('the Unicode tables are those that the index was made with', () => {
  // Another version may fold text otherwise: raise indexVersion together with what is expected here.
  expect([indexVersion, process.versions.unicode]).toEqual([2, '17.0']);
});

describe('hits are those of a scan', () => {
  let account: Where & TestAccount;
  beforeAll(async () => {
    const made = await TestAccount.create(under);
    account = Object.assign(made, { mailboxId: made.inboxId });
    const corpus = (await corpusMessages()).map(({ bytes }) => bytes).filter(({ length }) => length > 0);
    await put(made, corpus.slice(0, -5));
    expect(await index(made.id)).toBe(true);
    // These stay in the tail.
    await put(made, corpus.slice(-5));
  });

  test('for what stands in the corpus, in any charset, encoding and case', async () => {
    const contents = await account.fetch({ content: true });
    const words = new Set<string>();
    for (const { content, envelope } of contents) {
      if (!content) continue;
      for await (const chunk of content.read(0, Math.min(content.rawSize, 20_000))) {
        const found = chunk.toString('utf8').match(/\S.{2,30}/gu) ?? [];
        for (const word of found.filter((_word, at) => at % 9 === 0)) words.add(word);
      }
      expect(envelope).toBeUndefined();
    }
    let hits = 0;
    const some = [...words].filter((_word, at) => at % Math.ceil(words.size / 50) === 0);
    for (const word of some) {
      hits += (await expectSame(account, text(word))).length;
      await expectSame(account, body(word.toUpperCase()));
      await expectSame(account, header('subject', word));
    }
    expect(hits).toBeGreaterThan(20);
  }, 60_000);

  test.each([
    ['ß and what it becomes in upper case', body('straße')],
    ['a sigma at the end of a word', text('ΟΔΟΣ')],
    ['a sigma inside of one', text('οδοσ')],
    ['a Turkish dotted I', text('İstanbul')],
    ['the Kelvin sign', text('\u212Aelvin')],
    ['a ligature', text('ﬁle')],
    ['a long s', text('ſtraſſe')],
    ['full width', text('ｆｒｏｍ')],
    ['decoded words', header('subject', 'é')],
    ['one character', text('x')],
    ['two characters', body('ab')],
    ['nothing', text('')],
    ['a field that is there', header('content-type', '')],
    ['a field with a short name', header('to', 'example')],
    ['a field nobody has', header('x-nobody-has-it', '')],
    ['a field name that is none', header('ſubject', 'test')],
    ['not', not(text('python'))],
    ['not what nobody has', not(body('nobody has this'))],
    ['one or the other', { kind: 'or', of: [text('python'), header('from', 'barry')] }],
    [
      'one or what the index knows nothing of',
      { kind: 'or', of: [text('nobody has this'), { kind: 'larger', bytes: 900 }] },
    ],
    ['both', { kind: 'and', of: [text('python'), not(header('subject', 'test'))] }],
    ['with a flag', { kind: 'and', of: [text('com'), { kind: 'flags', flags: 1 }] }],
    ['without a keyword', { kind: 'and', of: [header('from', 'com'), not({ kind: 'keyword', keyword: 'x' })] }],
    ['with a size', { kind: 'and', of: [body('the'), { kind: 'smaller', bytes: 2000 }] }],
    ['among UIDs', { kind: 'and', of: [body('the'), { kind: 'uids', uids: [[3 as Uid, 40 as Uid]] }] }],
  ] satisfies (readonly [string, SearchQuery])[])('%s', async (_what, query) => {
    await expectSame(account, query);
  });

  test('for any queries about any texts', async () => {
    const unit = fc.constantFrom(
      'a',
      'A',
      'b',
      ' ',
      '\r\n',
      'ß',
      'ẞ',
      'Σ',
      'ς',
      'İ',
      'ſ',
      'Å',
      'é',
      'ﬁ',
      '漢',
      '字',
      '\u0301',
      '😀',
      '=',
    );
    const phrase = fc.string({ unit, maxLength: 12 });
    const mail = fc.record({
      subject: phrase,
      body: fc.string({ unit, maxLength: 200 }),
      encoding: fc.constantFrom('8bit', 'base64', 'quoted-printable'),
    });
    const key: fc.Arbitrary<SearchQuery> = fc.oneof(
      fc.record({ kind: fc.constantFrom('body', 'text'), contains: phrase }),
      fc.record({ kind: fc.constant('header'), name: fc.constantFrom('Subject', 'x'), contains: phrase }),
      fc.record({ kind: fc.constant('larger'), bytes: fc.nat(400) }),
      fc.constant({ kind: 'flags', flags: 1 } as const),
    );
    const query = fc.letrec<{ query: SearchQuery }>((tie) => ({
      query: fc.oneof(
        { depthSize: 'small' },
        key,
        fc.record({ kind: fc.constantFrom('and', 'or'), of: fc.array(tie('query'), { maxLength: 3 }) }),
        fc.record({ kind: fc.constant('not'), of: tie('query') }),
      ),
    })).query;
    await fc.assert(
      fc.asyncProperty(
        fc.array(mail, { minLength: 5, maxLength: 15 }),
        fc.array(query, { minLength: 20, maxLength: 20 }),
        async (mails, queries) => {
          const random = await TestAccount.create(under);
          const where = { id: random.id, mailboxId: random.inboxId };
          await put(random, mails.map(encoded));
          await index(random.id);
          await put(random, [letter('aA ßẞ', 'a b ﬁ')]);
          const own = mails.flatMap(({ subject, body: all }) => [
            header('subject', subject.slice(1, 5)),
            body(all.slice(20, 26)),
            text(all.slice(0, 4)),
          ]);
          for (const asked of [...queries, ...own]) await expectSame(where, asked);
        },
      ),
      { numRuns: 12 },
    );
  }, 60_000);

  test('across the borders of columns and of pieces in the database', async () => {
    const far = await TestAccount.create(under);
    const where = { id: far.id, mailboxId: far.inboxId };
    const lines = Array.from(
      { length: 30_000 },
      (_, n) => `${((n * 7919) % 1_000_003).toString(36)} line ${n} of many`,
    );
    await put(far, [letter('long', lines.join('\r\n')), letter('short', lines.slice(5, 30).join('\r\n'))]);
    await index(far.id);
    for (let n = 0; n < 30_000; n += 997) {
      const phrase = `${lines[n]}\r\n${lines[n + 1]}`;
      expect(await search(where, body(phrase.toUpperCase()))).toContain(1);
    }
    expect(await search(where, body(lines.slice(10, 20).join('\r\n')))).toEqual([1, 2]);
    expect(await search(where, body('line 7 of few'))).toEqual([]);
  }, 60_000);
});

function encoded({ subject, body: all, encoding }: { subject: string; body: string; encoding: string }): Buffer {
  const bytes = Buffer.from(all);
  const quoted = [...bytes].map((byte) => `=${byte.toString(16).toUpperCase().padStart(2, '0')}`);
  const coded =
    encoding === 'base64'
      ? Buffer.from(bytes.toString('base64').replaceAll(/.{1,60}/g, '$&\r\n'))
      : encoding === 'quoted-printable'
        ? Buffer.from(quoted.map((one, at) => (at % 20 === 19 ? `${one}=\r\n` : one)).join(''))
        : bytes;
  return Buffer.concat([
    Buffer.from(
      `Subject: =?utf-8?B?${Buffer.from(subject).toString('base64')}?=\r\nX: ${subject.replaceAll(/\s+/g, ' ')}\r\n` +
        `MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n`,
    ),
    coded,
  ]);
}

describe('the index', () => {
  test('names few messages, and only those of the mailbox', async () => {
    const account = await TestAccount.create(under);
    const where = { id: account.id, mailboxId: account.inboxId };
    await put(account, letters(1000));
    await index(account.id);
    expect(await expectSame(where, header('subject', 'number77'))).toEqual([
      78, 771, 772, 773, 774, 775, 776, 777, 778, 779, 780,
    ]);
    const archive = await account.mailbox('Archive');
    await account.store.copy(account.id, account.inboxId, [[78 as Uid, 80 as Uid]], archive.id);
    await account.store.move(account.id, account.inboxId, [[779 as Uid, 780 as Uid]], archive.id);
    await account.change([[771 as Uid, 772 as Uid]], { flags: 8 });
    await account.store.expunge(account.id, account.inboxId, null);
    expect(await segments(account.id)).toBe(1);
    expect(await expectSame({ id: account.id, mailboxId: archive.id }, header('subject', 'number77'))).toEqual([
      1, 4, 5,
    ]);
    expect(await expectSame(where, header('subject', 'number77'))).toHaveLength(11 - 4);
  });

  test('names no more than it is asked for, which need not be a whole number', async () => {
    const account = await TestAccount.create(under);
    await put(account, letters(10));
    await index(account.id);
    const asked = body('body of');
    const answer = await askIndex(under.database.db, account.id, asked, signal);
    expect(await answer?.candidates(asked, 10 / 4, signal)).toBeNull();
    expect(await answer?.candidates(asked, 10.5, signal)).toHaveLength(10);
  });

  test('goes on where it was when a server stops in the middle', async () => {
    const account = await TestAccount.create(under);
    const where = { id: account.id, mailboxId: account.inboxId };
    const { db } = under.database;
    await put(account, letters(600));
    expect(await claim(db, account.id)).toEqual({ to: 0, narrow: 0, narrowWidth: 0 });
    const built = await buildSegment(db, account.id, 0, signal);
    expect(built?.emails).toBe(600);
    // It stopped here: nothing is written, the lease is not given back.
    expect(await index(account.id)).toBe(false);
    await sql`update search_state set leased_until = now() where account_id = ${account.id}`.execute(db);
    expect(await index(account.id)).toBe(true);
    expect(await segments(account.id)).toBe(1);
    // It comes back after all, and finds that others have gone on.
    const indexed = { accountId: account.id, from: 0, to: built?.to ?? 0 };
    expect(await addSegment(db, indexed, built?.segment ?? null, true)).toBe(false);
    expect(await segments(account.id)).toBe(1);
    await expectSame(where, body('word3'));
  });

  test('is filled once by several servers while mail arrives', async () => {
    const account = await TestAccount.create(under);
    const where = { id: account.id, mailboxId: account.inboxId };
    await using other = await openPgStore({ url: under.url });
    const arriving = Promise.all(
      [under, other].map(async ({ store }, server) => {
        for (const raw of letters(150, server * 1000)) {
          await using message = await spooled(raw);
          await store.deliver(message, [
            { accountId: account.id, mailboxId: null, prefix: Buffer.from('X-By: us\r\n'), flags: 0, keywords: [] },
          ]);
        }
      }),
    );
    const arrived = new AbortController();
    const filling = [under, other].map(async ({ database }) => {
      await using indexer = new SearchIndexer({ database });
      while (!arrived.signal.aborted) {
        await indexer.indexAccount(account.id);
        await new Promise(setImmediate);
      }
    });
    await arriving;
    arrived.abort();
    await Promise.all(filling);
    await index(account.id);
    for (const [query, count] of [
      [header('x-by', 'us'), 300],
      [text('word3'), 42],
      [header('subject', 'number1007'), 1],
    ] as const) {
      expect(await expectSame(where, query)).toHaveLength(count);
    }
    const { rows } = await sql<{ emails: bigint }>`
      select sum(emails) as emails from search_segment where account_id = ${account.id}`.execute(under.database.db);
    expect(Number(rows[0]?.emails)).toBe(300);
  });

  test('has few segments after many small fillings', async () => {
    const account = await TestAccount.create(under);
    const where = { id: account.id, mailboxId: account.inboxId };
    for (let round = 0; round < 12; round++) {
      await put(account, letters(400, round * 400));
      await index(account.id);
    }
    expect(await segments(account.id)).toBeLessThan(12);
    await joinSmallSegments(under.database.db, account.id);
    for (const asked of [
      header('subject', 'number4799'),
      header('subject', 'number399'),
      body('word3 here'),
      not(body('word5')),
    ])
      expect(await expectSame(where, asked)).not.toEqual([]);
  });

  test('waits for enough mail, and then knows whose', async () => {
    const { db } = under.database;
    const [few, many] = [await TestAccount.create(under), await TestAccount.create(under)];
    await put(few, letters(10));
    await put(many, letters(600));
    const waiting = await findWaiting(db, null, worthwhile);
    expect(waiting).toContainEqual({ accountId: many.id, emails: 600 });
    expect(waiting.map(({ accountId }) => accountId)).not.toContain(few.id);
    expect(await findWaiting(db, [few.id, many.id], worthwhile)).toEqual([{ accountId: many.id, emails: 600 }]);
    await index(many.id);
    expect(await findWaiting(db, [few.id, many.id], worthwhile)).toEqual([]);
  });

  test('is made anew when it is dropped, of an older form, or mostly of mail that is gone', async () => {
    const { db } = under.database;
    const account = await TestAccount.create(under);
    const where = { id: account.id, mailboxId: account.inboxId };
    await put(account, letters(1500));
    await index(account.id);
    expect(await dropIndex(db, [account.id])).toBe(1);
    expect(await segments(account.id)).toBe(0);
    await expectSame(where, body('word3'));
    await index(account.id);
    await sql`update search_state set version = 0 where account_id = ${account.id}`.execute(db);
    await expectSame(where, body('word3'));
    expect(await findWaiting(db, [account.id], worthwhile)).toHaveLength(1);
    await index(account.id);
    expect(await findWaiting(db, [account.id], worthwhile)).toEqual([]);
    expect(await segments(account.id)).toBe(1);

    await account.change([[1 as Uid, 1450 as Uid]], { flags: 8 });
    await account.store.expunge(account.id, account.inboxId, null);
    await sweepLooseEmails(db, new AbortController().signal);
    await index(account.id);
    const { rows } = await sql<{
      emails: number;
    }>`select emails from search_segment where account_id = ${account.id}`.execute(db);
    expect(rows).toEqual([{ emails: 50 }]);
    await expectSame(where, body('word3'));
  });

  test('of a newer form is left alone', async () => {
    const { db } = under.database;
    const account = await TestAccount.create(under);
    await put(account, letters(300));
    await index(account.id);
    await sql`update search_state set version = ${indexVersion + 1} where account_id = ${account.id}`.execute(db);
    await put(account, letters(300, 300));
    expect(await findWaiting(db, [account.id], worthwhile)).toEqual([]);
    expect(await index(account.id)).toBe(false);
    expect(await segments(account.id)).toBe(1);
    await expectSame({ id: account.id, mailboxId: account.inboxId }, body('word3'));
  });

  test('goes with its account', async () => {
    const { db } = under.database;
    const account = await TestAccount.create(under);
    await put(account, letters(300));
    await index(account.id);
    await db.deleteFrom('account').where('id', '=', account.id).execute();
    expect(await segments(account.id)).toBe(0);
    expect(await index(account.id)).toBe(false);
    await release(db, account.id);
    expect(
      await db.selectFrom('search_state').select('version').where('account_id', '=', account.id).execute(),
    ).toEqual([]);
  });

  test('of several accounts is filled in the background', async () => {
    const accounts = await Promise.all(Array.from({ length: 5 }, () => TestAccount.create(under)));
    await using indexer = new SearchIndexer({ database: under.database });
    indexer.start();
    for (const account of accounts) {
      await put(account, letters(600));
      indexer.hear(account.id);
    }
    const ids = accounts.map(({ id }) => id);
    await expect.poll(() => findWaiting(under.database.db, ids, worthwhile), { timeout: 20_000 }).toEqual([]);
    for (const { id } of accounts) expect(await segments(id)).toBe(1);
  });

  test.each([600, 100])('is filled in the background with %i messages', async (count) => {
    const account = await TestAccount.create(under);
    await using indexer = new SearchIndexer({ database: under.database });
    indexer.start();
    await put(account, letters(count));
    indexer.hear(account.id);
    await expect.poll(() => segments(account.id), { timeout: 20_000 }).toBe(1);
    expect(await findWaiting(under.database.db, [account.id], worthwhileAtRest)).toEqual([]);
  });
});

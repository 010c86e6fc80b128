import { beforeAll, describe, expect, test } from 'vitest';
import { flagBits } from '#server/mail/flags.ts';
import type { SearchQuery } from '#server/mail/query.ts';
import { uidSet, uidSetOf } from '#server/mail/uid-set.ts';
import { spooled } from '../harness/message.ts';
import { faultOf, letter, TestAccount, unknownMailbox, type StoreUnderTest } from './store-under-test.ts';

const { seen, flagged, answered, deleted } = flagBits;

function lines(...lines: readonly string[]): Buffer {
  return Buffer.from(lines.join('\r\n'), 'latin1');
}

const plain = lines(
  'From: Ann Miller <ann@example.org>',
  'To: bob@example.net',
  'Subject: Weekly report',
  'X-Empty:',
  'References: <one@example.org>',
  ' <two@example.org>',
  'Date: Sun, 10 Mar 2024 23:30:00 -0800',
  '',
  'The budget is ready.',
  '',
);

const latin1 = lines(
  'From: =?utf-8?B?w4RubmU=?= <aenne@example.org>',
  'Subject: =?iso-8859-1?Q?Gr=FCezi_aus?= =?utf-8?Q?_K=C3=B6ln?=',
  'Date: Mon, 11 Mar 2024 08:00:00 +0100',
  'MIME-Version: 1.0',
  'Content-Type: text/plain; charset=iso-8859-1',
  'Content-Transfer-Encoding: quoted-printable',
  '',
  'Stra=DFen und Caf=E9s, soft=',
  'ly broken.',
  '',
);

const multipart = lines(
  'From: Carl <carl@example.com>',
  'Subject: parts',
  'Date: Tue, 12 Mar 2024 08:00:00 +0000',
  'MIME-Version: 1.0',
  'Content-Type: multipart/mixed; boundary="=-b"',
  '',
  'preamble that nobody sees',
  '--=-b',
  'Content-Type: text/plain; charset=utf-8',
  'Content-Transfer-Encoding: base64',
  '',
  Buffer.from('Привет, мир').toString('base64'),
  '--=-b',
  'Content-Type: text/html; charset=us-ascii',
  '',
  '<p>Hello <b>world</b></p>',
  '--=-b',
  'Content-Type: message/rfc822',
  '',
  'Subject: wrapped',
  'MIME-Version: 1.0',
  'Content-Type: text/plain',
  '',
  'An inner voice.',
  '--=-b--',
  '',
);

const haystack = Buffer.concat([
  lines('Subject: no date', '', ''),
  Buffer.from('hay and straw.\r\n'.repeat(80_000)),
  Buffer.from('a needle in it\r\n'),
  Buffer.from('more hay..\r\n'.repeat(90_000)),
]);

const traced = lines('Subject: carried', 'Date: Mon, 1 Apr 2024 08:00:00 +0000', '', 'By hand.', '');
const prefix = Buffer.from('Delivered-To: bob@example.net\r\nReceived: from mx.example.org\r\n\tby here\r\n');
const tracedSize = prefix.length + traced.length;
const onlyTraced: SearchQuery = { kind: 'uids', uids: uidSetOf([5]) };

const and = (...of: readonly SearchQuery[]): SearchQuery => ({ kind: 'and', of });
const or = (...of: readonly SearchQuery[]): SearchQuery => ({ kind: 'or', of });
const not = (of: SearchQuery): SearchQuery => ({ kind: 'not', of });
const all: SearchQuery = { kind: 'all' };
const flags = (flags: number): SearchQuery => ({ kind: 'flags', flags });
const keyword = (keyword: string): SearchQuery => ({ kind: 'keyword', keyword });
const header = (name: string, contains: string): SearchQuery => ({ kind: 'header', name, contains });
const body = (contains: string): SearchQuery => ({ kind: 'body', contains });
const text = (contains: string): SearchQuery => ({ kind: 'text', contains });
const internal = (is: 'before' | 'on' | 'since', day: string): SearchQuery => ({ kind: 'internal-date', is, day });
const sent = (is: 'before' | 'on' | 'since', day: string): SearchQuery => ({ kind: 'sent-date', is, day });

/** Messages 1 plain, 2 latin1, 3 multipart, 4 haystack, 5 traced; 6 was removed. */
const expectations: readonly (readonly [what: string, query: SearchQuery, uids: readonly number[]])[] = [
  ['everything', all, [1, 2, 3, 4, 5]],
  ['all of no keys', and(), [1, 2, 3, 4, 5]],
  ['any of no keys', or(), []],
  ['not everything', not(all), []],
  [
    'UIDs, there or not',
    {
      kind: 'uids',
      uids: uidSet([
        [2, 3],
        [5, 900],
      ]),
    },
    [2, 3, 5],
  ],
  ['no UIDs', { kind: 'uids', uids: [] }, []],
  ['a flag', flags(seen), [1, 2]],
  ['several flags', flags(seen | flagged), [2]],
  ['no flag at all', flags(0), [1, 2, 3, 4, 5]],
  ['without a flag', not(flags(seen)), [3, 4, 5]],
  ['a flag nobody has', flags(answered), []],
  ['a keyword in any case', keyword('wORK'), [2, 4]],
  ['a keyword nobody has', keyword('Play'), []],
  ['without a keyword', not(keyword('Work')), [1, 3, 5]],
  ['larger, the trace fields included', and(onlyTraced, { kind: 'larger', bytes: tracedSize - 1 }), [5]],
  ['larger is more than that', and(onlyTraced, { kind: 'larger', bytes: tracedSize }), []],
  ['smaller, the trace fields included', and(onlyTraced, { kind: 'smaller', bytes: tracedSize + 1 }), [5]],
  ['smaller is less than that', and(onlyTraced, { kind: 'smaller', bytes: tracedSize }), []],
  ['larger than a megabyte', { kind: 'larger', bytes: 1024 * 1024 }, [4]],
  ['INTERNALDATE before', internal('before', '2024-03-11'), [1]],
  ['INTERNALDATE on, in UTC', internal('on', '2024-03-10'), [1]],
  ['INTERNALDATE since', internal('since', '2024-03-11'), [2, 3, 4, 5]],
  ['INTERNALDATE on the day after midnight', internal('on', '2024-03-11'), [2]],
  ['Date before', sent('before', '2024-03-11'), [1]],
  ['Date on, as written', sent('on', '2024-03-10'), [1]],
  ['Date since', sent('since', '2024-03-11'), [2, 3, 5]],
  ['not since a Date, so also without any', not(sent('since', '2024-03-11')), [1, 4]],
  ['a header field', header('Subject', 'weekly REPORT'), [1]],
  ['a header field’s name in any case', header('sUBJECT', 'parts'), [3]],
  ['an encoded word without case', header('Subject', 'GRÜEZI'), [2]],
  ['text across encoded words', header('Subject', 'aus Köln'), [2]],
  ['a decoded phrase', header('From', 'änne'), [2]],
  ['not the encoded form', header('Subject', 'iso-8859-1'), []],
  ['a folded header field', header('References', '<one@example.org> <two@example.org>'), [1]],
  ['a header field that is there', header('References', ''), [1]],
  ['a header field that is there and empty', header('X-Empty', ''), [1]],
  ['a header field that nobody has', header('X-None', ''), []],
  ['a trace field put before the message', header('Delivered-To', 'bob@'), [5]],
  ['a folded trace field', header('Received', 'mx.example.org by here'), [5]],
  ['a header field, not the body', header('Subject', 'budget'), []],
  ['a header field, not that of a part', header('Subject', 'wrapped'), []],
  ['body', body('the BUDGET is'), [1]],
  ['body, not the header', body('Weekly report'), []],
  ['body in quoted-printable and Latin 1', body('straßen und CAFÉS'), [2]],
  ['body across a soft line break', body('softly broken'), [2]],
  ['body in base64 and Cyrillic, without case', body('ПРИВЕТ'), [3]],
  ['body, not the encoded form', body(Buffer.from('Привет, мир').toString('base64').slice(0, 12)), []],
  ['body in HTML', body('world'), [3]],
  ['body of a message in the message', body('inner voice'), [3]],
  ['body far inside of a large message', body('NEEDLE in'), [4]],
  ['body that nobody has', body('nothing of the kind'), []],
  ['text in the header', text('weekly'), [1]],
  ['text in the decoded header', text('köln'), [2]],
  ['text in the body', text('мир'), [3]],
  ['text in the header of a message in the message', text('wrapped'), [3]],
  ['empty text is everywhere', text(''), [1, 2, 3, 4, 5]],
  ['empty body is everywhere', body(''), [1, 2, 3, 4, 5]],
  ['both of two texts', and(text('report'), body('budget')), [1]],
  ['one of two texts', or(body('needle'), body('café')), [2, 4]],
  ['neither of two texts', and(not(text('report')), not(text('needle'))), [2, 3, 5]],
  ['deep', or(and(flags(seen), not(or(keyword('work'), body('hay')))), and(not(flags(seen)), text('hay and'))), [1, 4]],
];

async function fill(account: TestAccount): Promise<void> {
  const on = (day: string) => new Date(`${day}Z`);
  await account.append(1, { raw: plain, flags: seen, internalDate: on('2024-03-10T23:59:59') });
  const flagsOfSecond = { flags: seen | flagged, keywords: ['Work'] };
  await account.append(1, { raw: latin1, ...flagsOfSecond, internalDate: on('2024-03-11T00:00:00') });
  await account.append(1, { raw: multipart, internalDate: on('2024-03-12T12:00:00') });
  await account.append(1, { raw: haystack, keywords: ['work'], internalDate: on('2024-03-13T12:00:00') });
  await using message = await spooled(traced);
  const delivery = { accountId: account.id, mailboxId: null, prefix, flags: 0, keywords: [] };
  await account.store.deliver(message, [delivery]);
  await account.append(1, { raw: letter('weekly budget'), flags: deleted });
  await account.store.expunge(account.id, account.inboxId, null);
}

export function searchContract(under: () => StoreUnderTest): void {
  describe('finds', () => {
    let account: TestAccount;
    beforeAll(async () => {
      account = await TestAccount.create(under());
      await fill(account);
    });

    test.each(expectations)('%s', async (_what, query, uids) => {
      const { signal } = new AbortController();
      expect(await account.store.search(account.id, account.inboxId, query, signal)).toEqual(uids);
    });
  });

  test('many, ascending', async () => {
    const account = await TestAccount.create(under());
    await account.append(1500, { raw: letter('hello', 'many words') });
    await account.change(uidSet([[200, 1300]]), { flags: seen });
    const { signal } = new AbortController();
    const found = await account.store.search(account.id, account.inboxId, and(flags(seen), body('words')), signal);
    expect(found).toEqual(Array.from({ length: 1101 }, (_, i) => 200 + i));
  });

  test('stops when the signal aborts', async () => {
    const account = await TestAccount.create(under());
    await account.append(10);
    const search = account.store.search(account.id, account.inboxId, text('nothing'), AbortSignal.abort());
    await expect(search).rejects.toThrow();
    expect(await account.uids()).toHaveLength(10);
  });

  test('refuses a mailbox that is not there or not the account’s', async () => {
    const account = await TestAccount.create(under());
    const stranger = await TestAccount.create(under());
    const { signal } = new AbortController();
    for (const id of [unknownMailbox, stranger.inboxId]) {
      expect((await faultOf(account.store.search(account.id, id, all, signal))).kind).toBe('no-such-mailbox');
    }
  });
}

import fc from 'fast-check';
import { parser as imapflowParser } from 'imapflow/lib/handler/imap-handler.js';
import { describe, expect, test } from 'vitest';
import { canonicalMailboxName } from '#server/mail/mailbox-name.ts';
import { SyntaxFault } from '#shared/text/scanner.ts';
import { formatAstring, formatQuoted, formatString, isAtomChar, LiteralPending } from './astring.ts';
import { CharsetFault } from './charset.ts';
import type { BodySection, FetchItem, FlagList, ImapCommand, SearchKey, SequenceSet } from './command.ts';
import { formatCommand } from './format-command.ts';
import { parseCommand, tagOf, verbOf } from './parse-command.ts';

const parse = (text: string) => parseCommand(text).command;

describe('each command, as the RFCs give it', () => {
  const none = { flags: 0, keywords: [] };
  test.each<[string, ImapCommand]>([
    ['a002 NOOP', { verb: 'NOOP' }],
    ['a002 noop  ', { verb: 'NOOP' }],
    ['A142 UNSELECT', { verb: 'UNSELECT' }],
    [
      'a023 ID ("name" "sodr" "version" "19.34")',
      { verb: 'ID', fields: new Map(Object.entries({ name: 'sodr', version: '19.34' })) },
    ],
    [
      'a ID ("NAME" NIL "os" {3}\r\nBSD)',
      {
        verb: 'ID',
        fields: new Map([
          ['name', null],
          ['os', 'BSD'],
        ]),
      },
    ],
    ['a ID ()', { verb: 'ID', fields: new Map() }],
    ['a042 ID NIL', { verb: 'ID', fields: null }],
    ['a001 LOGIN SMITH SESAME', { verb: 'LOGIN', user: 'SMITH', password: 'SESAME' }],
    ['A001 LOGIN {11}\r\nFRED FOOBAR {7}\r\nfat man', { verb: 'LOGIN', user: 'FRED FOOBAR', password: 'fat man' }],
    ['a LOGIN {3+}\r\na"b "c\\\\d\\"e]"', { verb: 'LOGIN', user: 'a"b', password: 'c\\d"e]' }],
    ['a LOGIN u "p\xc3\xa9"', { verb: 'LOGIN', user: 'u', password: 'pé' }],
    ['a LOGIN u ""', { verb: 'LOGIN', user: 'u', password: '' }],
    ['a001 AUTHENTICATE plain', { verb: 'AUTHENTICATE', mechanism: 'PLAIN', initialResponse: null }],
    [
      'a001 AUTHENTICATE SCRAM-SHA-256 biws',
      { verb: 'AUTHENTICATE', mechanism: 'SCRAM-SHA-256', initialResponse: 'biws' },
    ],
    ['a001 AUTHENTICATE EXTERNAL =', { verb: 'AUTHENTICATE', mechanism: 'EXTERNAL', initialResponse: '=' }],
    ['t2 ENABLE condstore x-good', { verb: 'ENABLE', capabilities: ['CONDSTORE', 'X-GOOD'] }],
    ['A142 SELECT inbox', { verb: 'SELECT', mailbox: 'INBOX' }],
    ['A932 EXAMINE "~peter/mail/&U,BTFw-/&ZeVnLIqe-"', { verb: 'EXAMINE', mailbox: '~peter/mail/台北/日本語' }],
    ['A003 CREATE owatagusiam/', { verb: 'CREATE', mailbox: 'owatagusiam/', use: null }],
    ['t2 CREATE MySpecial (USE (\\Drafts \\Sent))', { verb: 'CREATE', mailbox: 'MySpecial', use: ['Drafts', 'Sent'] }],
    ['t2 CREATE MySpecial (USE ())', { verb: 'CREATE', mailbox: 'MySpecial', use: [] }],
    ['A683 DELETE blurdybloop', { verb: 'DELETE', mailbox: 'blurdybloop' }],
    ['A684 RENAME Inbox "R&-D"', { verb: 'RENAME', from: 'INBOX', to: 'R&D' }],
    ['A002 SUBSCRIBE #news.comp.mail.mime', { verb: 'SUBSCRIBE', mailbox: '#news.comp.mail.mime' }],
    ['A101 LIST "" ""', { verb: 'LIST', reference: '', patterns: [''], select: [], returns: [] }],
    [
      'A102 LIST /usr/staff/jones %*',
      { verb: 'LIST', reference: '/usr/staff/jones', patterns: ['%*'], select: [], returns: [] },
    ],
    [
      'A02 LIST (SUBSCRIBED special-use) "" ("INBOX" {2}\r\nDr &ZeVnLIqe-/%) RETURN (CHILDREN SUBSCRIBED CHILDREN)',
      {
        verb: 'LIST',
        reference: '',
        patterns: ['INBOX', 'Dr', '日本語/%'],
        select: ['SUBSCRIBED', 'SPECIAL-USE'],
        returns: ['CHILDREN', 'SUBSCRIBED'],
      },
    ],
    ['A04 LIST () "" % RETURN ()', { verb: 'LIST', reference: '', patterns: ['%'], select: [], returns: [] }],
    ['A002 LSUB "#news." "comp.mail.*"', { verb: 'LSUB', reference: '#news.', pattern: 'comp.mail.*' }],
    [
      'A042 STATUS blurdybloop (UIDNEXT messages UIDNEXT)',
      { verb: 'STATUS', mailbox: 'blurdybloop', items: ['UIDNEXT', 'MESSAGES'] },
    ],
    [
      'A003 APPEND saved-messages (\\Seen) {310}\r\n',
      { verb: 'APPEND', mailbox: 'saved-messages', flags: { flags: 1, keywords: [] }, internalDate: null },
    ],
    [
      'A003 APPEND {2}\r\nab "17-jul-1996 02:44:25 -0700" {0+}\r\n',
      { verb: 'APPEND', mailbox: 'ab', flags: none, internalDate: new Date('1996-07-17T09:44:25Z') },
    ],
    [
      'a APPEND b () " 1-Jan-2026 00:00:00 +0130" {1}\n',
      { verb: 'APPEND', mailbox: 'b', flags: none, internalDate: new Date('2025-12-31T22:30:00Z') },
    ],
    ['A202 EXPUNGE', { verb: 'EXPUNGE', uids: null }],
    ['A101 UID EXPUNGE 3000:3002', { verb: 'EXPUNGE', uids: [[3000, 3002]] }],
    ['A003 COPY 2:4 MEETING', { verb: 'COPY', byUid: false, set: [[2, 4]], mailbox: 'MEETING' }],
    [
      'a UID MOVE 42:69,* foo',
      {
        verb: 'MOVE',
        byUid: true,
        set: [
          [42, 69],
          ['*', '*'],
        ],
        mailbox: 'foo',
      },
    ],
    [
      'A003 STORE 2:4 +FLAGS (\\Deleted)',
      { verb: 'STORE', byUid: false, set: [[2, 4]], mode: 'add', silent: false, list: { flags: 8, keywords: [] } },
    ],
    [
      'a UID STORE *:3 -flags.silent \\SEEN $Junk $junk',
      {
        verb: 'STORE',
        byUid: true,
        set: [['*', 3]],
        mode: 'remove',
        silent: true,
        list: { flags: 1, keywords: ['$Junk'] },
      },
    ],
    ['a STORE 1 FLAGS ()', { verb: 'STORE', byUid: false, set: [[1, 1]], mode: 'replace', silent: false, list: none }],
  ])('%j', (text, command) => {
    expect(parse(text)).toEqual(command);
  });
});

describe('FETCH', () => {
  const whole: BodySection = { path: [], text: null };
  test.each<[string, FetchItem[]]>([
    ['FAST', [{ kind: 'FLAGS' }, { kind: 'INTERNALDATE' }, { kind: 'RFC822.SIZE' }]],
    ['all', [{ kind: 'FLAGS' }, { kind: 'INTERNALDATE' }, { kind: 'RFC822.SIZE' }, { kind: 'ENVELOPE' }]],
    [
      'FULL',
      [{ kind: 'FLAGS' }, { kind: 'INTERNALDATE' }, { kind: 'RFC822.SIZE' }, { kind: 'ENVELOPE' }, { kind: 'BODY' }],
    ],
    ['(UID flags uid)', [{ kind: 'UID' }, { kind: 'FLAGS' }]],
    ['BODY[]', [{ kind: 'BODY[]', section: whole, peek: false, partial: null }]],
    ['body.peek[]<0.2048>', [{ kind: 'BODY[]', section: whole, peek: true, partial: { offset: 0, count: 2048 } }]],
    ['BODY[4.2.2.1]', [{ kind: 'BODY[]', section: { path: [4, 2, 2, 1], text: null }, peek: false, partial: null }]],
    [
      'BODY[3.header]',
      [{ kind: 'BODY[]', section: { path: [3], text: { kind: 'HEADER' } }, peek: false, partial: null }],
    ],
    [
      'BODY[4.1.MIME]',
      [{ kind: 'BODY[]', section: { path: [4, 1], text: { kind: 'MIME' } }, peek: false, partial: null }],
    ],
    [
      'BODY[1.HEADER.FIELDS.NOT (Date {4}\r\nFrom "X Y")]',
      [
        {
          kind: 'BODY[]',
          section: { path: [1], text: { kind: 'HEADER.FIELDS.NOT', fields: ['Date', 'From', 'X Y'] } },
          peek: false,
          partial: null,
        },
      ],
    ],
    [
      '(RFC822 RFC822.HEADER RFC822.TEXT RFC822.SIZE)',
      [{ kind: 'RFC822' }, { kind: 'RFC822.HEADER' }, { kind: 'RFC822.TEXT' }, { kind: 'RFC822.SIZE' }],
    ],
  ])('%s', (text, items) => {
    expect(parse(`a FETCH 1 ${text}`)).toEqual({ verb: 'FETCH', byUid: false, set: [[1, 1]], items });
  });
});

describe('SEARCH', () => {
  const from = (contains: string): SearchKey => ({ kind: 'header', name: 'From', contains });
  test.each<[string, SearchKey]>([
    ['ALL', { kind: 'ALL' }],
    ['ALL  ', { kind: 'ALL' }],
    [
      'FLAGGED SINCE 1-Feb-1994 NOT FROM "Smith"',
      {
        kind: 'AND',
        keys: [
          { kind: 'flag', flag: 4, set: true },
          { kind: 'internal-date', is: 'since', day: '1994-02-01' },
          { kind: 'NOT', key: from('Smith') },
        ],
      },
    ],
    ['unseen', { kind: 'flag', flag: 1, set: false }],
    ['CHARSET UTF-8 TEXT {6+}\r\n\xd0\xbc\xd0\xb0\xd0\xb0', { kind: 'TEXT', contains: 'маа' }],
    ['TEXT {2}\r\n\xc3\xa9', { kind: 'TEXT', contains: 'é' }],
    ['CHARSET iso-8859-15 SUBJECT "\xa4"', { kind: 'header', name: 'Subject', contains: '€' }],
    ['CHARSET "ISO-2022-JP" BODY {8}\r\n\x1b$BF|\x1b(B', { kind: 'BODY', contains: '日' }],
    ['SENTON "03-MAR-2020"', { kind: 'sent-date', is: 'on', day: '2020-03-03' }],
    ['KEYWORD $Forwarded', { kind: 'keyword', keyword: '$Forwarded', set: true }],
    ['UNKEYWORD x', { kind: 'keyword', keyword: 'x', set: false }],
    ['HEADER Message-ID ""', { kind: 'header', name: 'Message-ID', contains: '' }],
    ['LARGER 0', { kind: 'LARGER', bytes: 0 }],
    [
      'UID 4,7:*',
      {
        kind: 'UID',
        set: [
          [4, 4],
          [7, '*'],
        ],
      },
    ],
    ['*', { kind: 'sequence', set: [['*', '*']] }],
    ['(((NEW)))', { kind: 'NEW' }],
    ['(OLD RECENT)', { kind: 'AND', keys: [{ kind: 'OLD' }, { kind: 'RECENT' }] }],
    ['OR FROM a OR FROM b FROM c', { kind: 'OR', keys: [from('a'), { kind: 'OR', keys: [from('b'), from('c')] }] }],
  ])('%j', (text, key) => {
    expect(parse(`a SEARCH ${text}`)).toEqual({ verb: 'SEARCH', byUid: false, key });
  });

  test('a chain of 3,000 ORs is a shallow tree of all its keys, in order', () => {
    const names = Array.from({ length: 3000 }, (_, i) => `n${i}`);
    const text = names.map((name, i) => (i + 1 < names.length ? `OR FROM ${name}` : `FROM ${name}`)).join(' ');
    const command = parse(`a SEARCH ${text}`);
    const depth = (key: SearchKey): number => (key.kind === 'OR' ? 1 + Math.max(...key.keys.map(depth)) : 0);
    expect(command.verb === 'SEARCH' && leaves(command.key)).toEqual(names.map(from));
    expect(command.verb === 'SEARCH' && depth(command.key)).toBe(12);
  });

  test('keys inside one another are bounded', () => {
    for (const deep of ['('.repeat(51), 'NOT '.repeat(51), 'OR NOT '.repeat(26)]) {
      expect(() => parse(`a SEARCH ${deep}ALL`)).toThrow('at most 50 search keys inside one another');
    }
    expect(parse(`a SEARCH ${'('.repeat(50)}ALL${')'.repeat(50)}`)).toEqual({
      verb: 'SEARCH',
      byUid: false,
      key: { kind: 'ALL' },
    });
  });

  test.each(['X-UNKNOWN', 'utf-7', '"a b"'])('CHARSET %s is a fault of its own', (charset) => {
    expect(() => parse(`a SEARCH CHARSET ${charset} ALL`)).toThrow(CharsetFault);
  });
});

/** The alternatives of a chain of ORs: how they are nested doesn't matter. */
function leaves(key: SearchKey): readonly SearchKey[] {
  return key.kind === 'OR' ? key.keys.flatMap(leaves) : [key];
}

describe('what is refused, and where', () => {
  test.each([
    ['', 'tag of at most 255 bytes at 0'],
    ['+ NOOP', 'tag of at most 255 bytes at 0'],
    [`${'a'.repeat(256)} NOOP`, 'tag of at most 255 bytes at 256'],
    ['a', 'SP at 1'],
    ['a  NOOP', 'the name of a known command at 2'],
    ['a NOOP x', 'the end of the command at 7'],
    ['a FROB', 'the name of a known command before this at 6'],
    ['a UID LOGIN', 'COPY, EXPUNGE, FETCH, MOVE, SEARCH or STORE before this at 11'],
    ['a LOGIN x', 'SP at 9'],
    ['a LOGIN x "y', 'quoted at 10'],
    ['a LOGIN x "\\y"', 'quoted at 10'],
    ['a LOGIN x {3-}\r\nabc', 'literal at 10'],
    ['a LOGIN x {1}\r\n\0', 'a literal without NUL'],
    ['a LOGIN x "\xff"', 'UTF-8'],
    ['a LOGIN x \xc3\xa9', 'password at 10'],
    ['a AUTHENTICATE PLAIN a$', 'base64'],
    ['a SELECT "&Jjo"', 'a mailbox name in modified UTF-7'],
    ['a SELECT "\xc3\xa9"', 'a mailbox name in modified UTF-7'],
    ['a SELECT x (CONDSTORE)', 'the end of the command at 11'],
    ['a CREATE x (PARTITION y)', 'create-param USE'],
    ['a LIST (REMOTE) "" *', 'list-select-opt (SUBSCRIBED SPECIAL-USE)'],
    ['a LIST "" * RETURN (STATUS (MESSAGES))', 'list-return-opt'],
    ['a STATUS x (HIGHESTMODSEQ)', 'status-att (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN)'],
    ['a STATUS x ()', 'status-att at 12'],
    ['a APPEND x (\\Seen) abc', 'literal at 19'],
    ['a APPEND x (\\Recent) {1}\r\n', 'a system flag that can be set'],
    ['a APPEND x "31-Feb-2026 00:00:00 +0000" {1}\r\n', 'a time of the calendar'],
    ['a APPEND x UTF8 (~{1}\r\n', 'literal at 11'],
    ['a APPEND x ~{1}\r\n', 'literal at 11'],
    ['a APPEND x {4294967296}\r\n', 'literal at'],
    ['a FETCH 0 ALL', 'sequence-set at 8'],
    ['a FETCH 1, ALL', 'sequence-set at 10'],
    ['a FETCH 4294967296 ALL', 'sequence-set at 8'],
    ['a FETCH $ ALL', 'sequence-set at 8'],
    ['a FETCH 1 (FAST)', 'a fetch-att of RFC 3501'],
    ['a FETCH 1 ()', 'a fetch-att of RFC 3501'],
    ['a FETCH 1 BINARY[1]', 'a fetch-att of RFC 3501'],
    ['a FETCH 1 BODY[MIME]', 'section-part before MIME'],
    ['a FETCH 1 BODY[1.]', 'section-text'],
    ['a FETCH 1 BODY[0]', 'section-text'],
    ['a FETCH 1 BODY[HEADER.FIELDS ()]', 'header-fld-name'],
    ['a FETCH 1 BODY[]<0>', '"." of partial'],
    ['a FETCH 1 BODY[]<0.0>', 'count of partial'],
    ['a FETCH 1 (FLAGS) (CHANGEDSINCE 1)', 'the end of the command at 18'],
    ['a STORE 1 (UNCHANGEDSINCE 1) FLAGS ()', 'store-att-flags'],
    ['a STORE 1 FLAGS', 'SP at 15'],
    ['a STORE 1 FLAGS \\Foo', 'a system flag'],
    [`a STORE 1 FLAGS ${'x'.repeat(256)}`, 'flag-keyword of at most 255 bytes'],
    ['a SEARCH', 'SP at 8'],
    ['a SEARCH RETURN (MIN) ALL', 'a search-key of RFC 3501'],
    ['a SEARCH ON 30-Feb-2020', 'a day of the calendar'],
    ['a SEARCH OR ALL', 'SP at 15'],
    ['a SEARCH TEXT {2}\r\n\xff\xff', 'text in the charset'],
  ])('%j: expected %s', (text, rule) => {
    expect(() => parse(text)).toThrow(`expected ${rule}`);
  });

  test('a command whose literal is still to come is told from a wrong one', () => {
    expect(() => parse('a LOGIN {3}\r\n')).toThrow(LiteralPending);
    expect(() => parse('a LOGIN {3}\r\nabc ')).not.toThrow(LiteralPending);
  });
});

test.each([
  ['a1 FETCH', 'a1', 'FETCH'],
  ['a1 uid fetch 1', 'a1', 'UID FETCH'],
  ['a1\r\n', 'a1', ''],
  ['a+b x', null, 'X'],
  ['a {3}\r\n', 'a', ''],
  ['\xff', null, ''],
])('of %j the tag is %s and the verb %j', (text, tag, verb) => {
  expect(tagOf(text)).toBe(tag);
  expect(verbOf(text)).toBe(verb);
});

const latin1Text = fc.string({
  unit: fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code)),
  maxLength: 8,
});
const unicodeText = fc
  .string({ unit: 'grapheme', maxLength: 8 })
  .filter((text) => text.isWellFormed() && !text.includes('\0'));
const anyAtom = fc.string({
  unit: fc
    .integer({ min: 33, max: 126 })
    .filter(isAtomChar)
    .map((code) => String.fromCharCode(code)),
  minLength: 1,
  maxLength: 8,
});
const mailboxName = unicodeText.map(canonicalMailboxName);
const seqNumber = fc.oneof(fc.integer({ min: 1, max: 0xffff_ffff }), fc.constant<'*'>('*'));
const set: fc.Arbitrary<SequenceSet> = fc.array(fc.tuple(seqNumber, seqNumber), { minLength: 1, maxLength: 4 });
const keywords = (atom: fc.Arbitrary<string>) =>
  fc.uniqueArray(atom, { maxLength: 3, selector: (word) => word.toLowerCase() });
const list = (atom: fc.Arbitrary<string>): fc.Arbitrary<FlagList> =>
  fc.record({ flags: fc.integer({ min: 0, max: 31 }), keywords: keywords(atom) });
const section: fc.Arbitrary<BodySection> = fc
  .record({
    path: fc.array(fc.integer({ min: 1, max: 99 }), { maxLength: 3 }),
    text: fc.oneof(
      fc.constantFrom(null, { kind: 'HEADER' } as const, { kind: 'TEXT' } as const, { kind: 'MIME' } as const),
      fc.record({
        kind: fc.constantFrom('HEADER.FIELDS' as const, 'HEADER.FIELDS.NOT' as const),
        fields: fc.array(latin1Text, { minLength: 1, maxLength: 3 }),
      }),
    ),
  })
  .filter(({ path, text }) => path.length > 0 || text?.kind !== 'MIME');
const plainItem = fc.constantFrom(
  ...([
    'UID',
    'FLAGS',
    'INTERNALDATE',
    'RFC822.SIZE',
    'ENVELOPE',
    'BODYSTRUCTURE',
    'BODY',
    'RFC822',
    'RFC822.HEADER',
    'RFC822.TEXT',
  ] as const),
);
const fetchItem: fc.Arbitrary<FetchItem> = fc.oneof(
  plainItem.map((kind) => ({ kind })),
  fc.record({
    kind: fc.constant('BODY[]' as const),
    section,
    peek: fc.boolean(),
    partial: fc.option(fc.record({ offset: fc.nat(), count: fc.integer({ min: 1 }) })),
  }),
);
const day = fc
  .date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
  .map((at) => at.toISOString().slice(0, 10));
const searchKey = (atom: fc.Arbitrary<string>): fc.Arbitrary<SearchKey> =>
  fc.letrec<{ key: SearchKey }>((tie) => ({
    key: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom('ALL' as const, 'NEW' as const, 'OLD' as const, 'RECENT' as const).map((kind) => ({ kind })),
      fc.record({ kind: fc.constant('flag' as const), flag: fc.constantFrom(1, 2, 4, 8, 16), set: fc.boolean() }),
      fc.record({ kind: fc.constant('keyword' as const), keyword: atom, set: fc.boolean() }),
      fc.record({ kind: fc.constant('header' as const), name: unicodeText, contains: unicodeText }),
      fc.record({ kind: fc.constantFrom('BODY' as const, 'TEXT' as const), contains: unicodeText }),
      fc.record({
        kind: fc.constantFrom('internal-date' as const, 'sent-date' as const),
        is: fc.constantFrom('before' as const, 'on' as const, 'since' as const),
        day,
      }),
      fc.record({ kind: fc.constantFrom('LARGER' as const, 'SMALLER' as const), bytes: fc.nat() }),
      fc.record({ kind: fc.constantFrom('UID' as const, 'sequence' as const), set }),
      fc.record({ kind: fc.constant('NOT' as const), key: tie('key') }),
      fc.record({ kind: fc.constant('OR' as const), keys: fc.tuple(tie('key'), tie('key')) }),
      fc.record({ kind: fc.constant('AND' as const), keys: fc.array(tie('key'), { minLength: 2, maxLength: 3 }) }),
    ),
  })).key;

const byUid = fc.boolean();
const bareVerbs = [
  'CAPABILITY',
  'NOOP',
  'LOGOUT',
  'STARTTLS',
  'CHECK',
  'CLOSE',
  'UNSELECT',
  'IDLE',
  'NAMESPACE',
] as const;
const idFields = fc.uniqueArray(
  fc.tuple(
    unicodeText.map((text) => text.toLowerCase()),
    fc.option(unicodeText),
  ),
  { maxLength: 3, selector: ([name]) => name },
);
const commandOf = (atom: fc.Arbitrary<string>): fc.Arbitrary<ImapCommand> =>
  fc.oneof(
    fc.constantFrom(...bareVerbs).map((verb) => ({ verb })),
    fc.record({ verb: fc.constant('ID' as const), fields: fc.option(idFields.map((pairs) => new Map(pairs))) }),
    fc.record({ verb: fc.constant('LOGIN' as const), user: unicodeText, password: unicodeText }),
    fc.record({
      verb: fc.constant('AUTHENTICATE' as const),
      mechanism: fc.constantFrom('PLAIN', 'SCRAM-SHA-256'),
      initialResponse: fc.option(fc.oneof(fc.constant('='), fc.base64String({ minLength: 4 }))),
    }),
    fc.record({
      verb: fc.constant('ENABLE' as const),
      capabilities: fc.array(
        atom.map((text) => text.toUpperCase()),
        { minLength: 1, maxLength: 3 },
      ),
    }),
    fc.record({
      verb: fc.constantFrom(
        'SELECT' as const,
        'EXAMINE' as const,
        'DELETE' as const,
        'SUBSCRIBE' as const,
        'UNSUBSCRIBE' as const,
      ),
      mailbox: mailboxName,
    }),
    fc.record({
      verb: fc.constant('CREATE' as const),
      mailbox: mailboxName,
      use: fc.option(fc.array(atom, { maxLength: 3 })),
    }),
    fc.record({ verb: fc.constant('RENAME' as const), from: mailboxName, to: mailboxName }),
    fc.record({
      verb: fc.constant('LIST' as const),
      reference: mailboxName,
      patterns: fc.array(mailboxName, { minLength: 1, maxLength: 3 }),
      select: fc.uniqueArray(fc.constantFrom('SUBSCRIBED' as const, 'SPECIAL-USE' as const)),
      returns: fc.uniqueArray(fc.constantFrom('SUBSCRIBED' as const, 'CHILDREN' as const, 'SPECIAL-USE' as const)),
    }),
    fc.record({ verb: fc.constant('LSUB' as const), reference: mailboxName, pattern: mailboxName }),
    fc.record({
      verb: fc.constant('STATUS' as const),
      mailbox: mailboxName,
      items: fc.uniqueArray(
        fc.constantFrom('MESSAGES' as const, 'RECENT' as const, 'UIDNEXT' as const, 'UNSEEN' as const),
        { minLength: 1 },
      ),
    }),
    fc.record({ verb: fc.constant('EXPUNGE' as const), uids: fc.option(set) }),
    fc.record({ verb: fc.constant('SEARCH' as const), byUid, key: searchKey(atom) }),
    fc.record({
      verb: fc.constant('FETCH' as const),
      byUid,
      set,
      items: fc.uniqueArray(fetchItem, { minLength: 1, maxLength: 4, selector: (item) => JSON.stringify(item) }),
    }),
    fc.record({
      verb: fc.constant('STORE' as const),
      byUid,
      set,
      mode: fc.constantFrom('add' as const, 'remove' as const, 'replace' as const),
      silent: fc.boolean(),
      list: list(atom),
    }),
    fc.record({ verb: fc.constantFrom('COPY' as const, 'MOVE' as const), byUid, set, mailbox: mailboxName }),
  );

/** ORs as flat lists: the parser may nest them otherwise than they were written. */
function flat(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(flat);
  if (typeof value !== 'object' || value === null || value instanceof Map || value instanceof Date) return value;
  if ('kind' in value && value.kind === 'OR') return { OR: leaves(value as SearchKey).map(flat) };
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, flat(inner)]));
}

test('formatting then parsing gives the same command', () => {
  fc.assert(
    fc.property(commandOf(anyAtom), (command) => {
      expect(flat(parseCommand(formatCommand('tag', command)))).toEqual(flat({ tag: 'tag', command }));
    }),
    { numRuns: 1000 },
  );
});

test('an APPEND up to its message, formatted then parsed, is the same', () => {
  const internalDate = fc.date({ min: new Date('0000-01-01'), max: new Date('9999-12-31'), noInvalidDate: true });
  const append = fc.record({
    verb: fc.constant('APPEND' as const),
    mailbox: mailboxName,
    flags: list(anyAtom),
    internalDate: fc.option(internalDate.map((at) => new Date(Math.floor(at.getTime() / 1000) * 1000))),
  });
  fc.assert(
    fc.property(append, (append) => {
      expect(parse(`${formatCommand('tag', append)} {1}\r\n`)).toEqual(append);
    }),
  );
});

const words = [
  'a',
  ' ',
  '(',
  ')',
  '[',
  ']',
  '"',
  '\\',
  '{2}\r\n',
  '\r',
  '\n',
  '\0',
  '*',
  ':',
  ',',
  '1',
  '0',
  '<',
  '>',
  '.',
  'NIL',
];
const verbs = ['LOGIN', 'LIST', 'FETCH 1', 'UID STORE 1', 'SEARCH', 'STATUS', 'APPEND', 'CREATE', 'ID', 'AUTHENTICATE'];
const nonsense = fc
  .tuple(fc.constantFrom(...verbs), fc.array(fc.oneof(fc.constantFrom(...words), latin1Text), { maxLength: 30 }))
  .map(([verb, rest]) => `a ${verb} ${rest.join('')}`);

test('no bytes do anything but parse or throw a SyntaxFault', () => {
  fc.assert(
    fc.property(fc.oneof(latin1Text, nonsense), (text) => {
      try {
        parse(text);
      } catch (error) {
        expect(error).toBeInstanceOf(SyntaxFault);
      }
    }),
    { numRuns: 2000 },
  );
});

describe("imapflow's parser, as a second opinion", () => {
  /** It reads '[' in an atom as the start of a section, and takes some for numbers. */
  const plainAtom = fc.stringMatching(/^[A-Za-z$][A-Za-z0-9._-]{0,7}$/).filter((word) => word.toUpperCase() !== 'NIL');
  type Token = { type: string; value: string | Buffer; section?: Token[]; partial?: number[] };
  type Tree = Token | Token[] | null;

  /** Literals are handed to it beside the text. */
  async function tokens(text: string): Promise<{ tag: string; command: string; tree: readonly Tree[] }> {
    const literals: Buffer[] = [];
    let rest = '';
    for (let at = 0; ;) {
      const found = /\{(\d+)\}\r\n/g;
      found.lastIndex = at;
      const announced = found.exec(text);
      if (!announced) {
        rest += text.slice(at);
        break;
      }
      rest += text.slice(at, found.lastIndex);
      at = found.lastIndex + Number(announced[1]);
      literals.push(Buffer.from(text.slice(found.lastIndex, at), 'latin1'));
    }
    const parsed = await imapflowParser(Buffer.from(rest, 'latin1'), { literals });
    return {
      tag: parsed.tag ?? '',
      command: parsed.command ?? '',
      tree: (parsed.attributes ?? []) as unknown as readonly Tree[],
    };
  }

  function write(tree: Tree): string {
    if (tree === null) return 'NIL';
    if (Array.isArray(tree)) return `(${tree.map(write).join(' ')})`;
    const value = typeof tree.value === 'string' ? tree.value : tree.value.toString('latin1');
    if (tree.type === 'STRING' || tree.type === 'LITERAL') return formatString(value);
    const section = tree.section ? `[${tree.section.map(write).join(' ')}]` : '';
    return value + section + (tree.partial ? `<${tree.partial.join('.')}>` : '');
  }

  test('reads the same words, strings and lists in every command', async () => {
    await fc.assert(
      fc.asyncProperty(commandOf(plainAtom), async (command) => {
        // ORs as we nest them.
        const text = formatCommand('tag', parse(formatCommand('tag', command)));
        // It takes '*' only as the end of a last range; RFC 3501 allows it anywhere.
        fc.pre(!/\*[,:]|[ ,]\*/.test(text));
        const theirs = await tokens(text);
        const rewritten = [theirs.tag, theirs.command, ...theirs.tree.map(write)].join(' ');
        expect(rewritten).toBe(formatCommand('tag', parse(text)));
      }),
      { numRuns: 500 },
    );
  });

  test('reads the same value of a string in each way of writing it', async () => {
    const ascii = fc.string({ unit: 'grapheme-ascii', maxLength: 8 });
    const literalOf = (value: string) => `{${value.length}}\r\n${value}`;
    const style = fc.constantFrom(formatAstring, formatQuoted, literalOf);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(ascii, style), { minLength: 2, maxLength: 2 }), async (written) => {
        const text = `a LOGIN ${written.map(([value, style]) => style(value)).join(' ')}`;
        const values = (await tokens(text)).tree.map((token) =>
          token && 'value' in token ? token.value.toString() : '',
        );
        const command = parse(text);
        expect(command.verb === 'LOGIN' && [command.user, command.password]).toEqual(values);
        expect(values).toEqual(written.map(([value]) => value));
      }),
    );
  });
});

/** Commands for `imap-differential.test.ts`: whatever a client may send after its login, on few mailboxes and messages. */
import fc from 'fast-check';

/** One command of one of the clients, without its tag. */
export type Act = { readonly by: number; readonly command: string };

/** Always there: a level that only its children make is another thing with each server. */
export const lastingMailboxes = ['INBOX', 'a', 'a/b'] as const;
const passing = fc.constantFrom('a/b/c', 'a/d', 'B', '"x y"', 'd&AOk-', 'INBOX/i');
const mailbox = fc.oneof(fc.constantFrom('INBOX', 'inbox', ...lastingMailboxes), passing);
const number = fc.oneof({ weight: 6, arbitrary: fc.nat({ max: 5 }).map((n) => `${n + 1}`) }, fc.constantFrom('*'));
const range = fc.oneof(
  number,
  fc.constantFrom('1:*', '1:*', '*:2'),
  fc.tuple(number, number).map((pair) => pair.join(':')),
);
const uidSet = fc.array(range, { minLength: 1, maxLength: 3 }).map((ranges) => ranges.join(','));
/** `#n` stands for a sequence number that there is. */
const sequenceNumber = fc.oneof(
  { weight: 9, arbitrary: fc.nat({ max: 5 }).map((n) => `#${n}`) },
  { weight: 3, arbitrary: fc.constant('*') },
  { weight: 1, arbitrary: fc.constant('90') },
);
const sequenceSet = fc.oneof(
  fc.constant('1:*'),
  fc
    .array(
      fc.oneof(
        sequenceNumber,
        fc.tuple(sequenceNumber, sequenceNumber).map((pair) => pair.join(':')),
      ),
      {
        minLength: 1,
        maxLength: 3,
      },
    )
    .map((ranges) => ranges.join(',')),
);
/** With the command's name before it. */
const named = (name: string): fc.Arbitrary<string> =>
  fc.oneof(
    sequenceSet.map((set) => `${name} ${set}`),
    uidSet.map((set) => `UID ${name} ${set}`),
  );

const flag = fc.constantFrom(
  String.raw`\Seen`,
  String.raw`\Deleted`,
  String.raw`\Deleted`,
  String.raw`\Flagged`,
  String.raw`\Answered`,
  String.raw`\Draft`,
  '$Forwarded',
  'Work',
  'work',
);
const flags = fc
  .uniqueArray(flag, { maxLength: 3, selector: (name) => name.toLowerCase() })
  .map((list) => `(${list.join(' ')})`);

const message = fc
  .tuple(fc.constantFrom('apple', 'Pear', 'plum & pear', ''), fc.nat({ max: 3 }))
  .map(([word, lines]) =>
    [
      'From: Ann <ann@example.org>',
      'To: bob@example.net',
      `Subject: ${word} pie`,
      'Date: Mon, 2 Feb 2026 10:00:00 +0100',
      'MIME-Version: 1.0',
      'Content-Type: multipart/mixed; boundary=b',
      '',
      '--b',
      '',
      ...Array.from({ length: lines }, (_, n) => `line ${n} ${word}`),
      '--b',
      'Content-Type: message/rfc822',
      '',
      'Subject: inner',
      '',
      `inner ${word}`,
      '--b--',
      '',
    ].join('\r\n'),
  );
const date = fc.constantFrom(
  '" 1-Jan-2026 00:00:00 +0000"',
  '"15-Feb-2026 12:30:00 +0000"',
  '"28-Feb-2026 23:59:59 +0000"',
);

const section = fc.constantFrom(
  '',
  'HEADER',
  'TEXT',
  '1',
  '2',
  '2.HEADER',
  '2.TEXT',
  '1.MIME',
  '2.1',
  'HEADER.FIELDS (SUBJECT X-None)',
  'HEADER.FIELDS.NOT (From To)',
  '2.HEADER.FIELDS (Subject)',
);
const partial = fc.constantFrom('', '', '<0.5>', '<3.1000>', '<5000.10>');
const item = fc.oneof(
  fc.constantFrom('FLAGS', 'UID', 'INTERNALDATE', 'RFC822.SIZE', 'ENVELOPE', 'BODYSTRUCTURE', 'BODY'),
  fc.constantFrom('RFC822', 'RFC822.HEADER', 'RFC822.TEXT'),
  fc
    .tuple(fc.constantFrom('BODY', 'BODY.PEEK'), section, partial)
    .map(([name, inside, part]) => `${name}[${inside}]${part}`),
);
const items = fc.oneof(
  fc.constantFrom('ALL', 'FAST', 'FULL'),
  item,
  fc.array(item, { minLength: 1, maxLength: 3 }).map((list) => `(${list.join(' ')})`),
);

const simpleKey = fc.oneof(
  fc.constantFrom('ALL', 'SEEN', 'UNSEEN', 'DELETED', 'UNDELETED', 'FLAGGED', 'ANSWERED', 'UNANSWERED', 'DRAFT'),
  fc.constantFrom('KEYWORD Work', 'UNKEYWORD work', 'KEYWORD none', 'SUBJECT apple', 'SUBJECT ""', 'HEADER X-None ""'),
  fc.constantFrom('BODY pear', 'TEXT PEAR', 'TEXT inner', 'FROM ann', 'TO nobody', 'CC ann', 'LARGER 300'),
  fc.constantFrom('BEFORE 15-Feb-2026', 'ON 15-Feb-2026', 'SINCE 15-Feb-2026', 'SENTON 2-Feb-2026', 'SMALLER 400'),
  sequenceSet,
  uidSet.map((uids) => `UID ${uids}`),
);
const { searchKey } = fc.letrec<{ searchKey: string }>((tie) => ({
  searchKey: fc.oneof(
    { maxDepth: 2 },
    simpleKey,
    simpleKey.map((key) => `NOT ${key}`),
    fc.tuple(tie('searchKey'), tie('searchKey')).map(([a, b]) => `OR ${a} ${b}`),
    fc.tuple(tie('searchKey'), tie('searchKey')).map(([a, b]) => `(${a} ${b})`),
  ),
}));

const reference = fc.constantFrom('""', '""', '""', 'a', 'a/', 'INBOX');
const pattern = fc.constantFrom(
  '*',
  '%',
  '%/%',
  'a/%',
  'a*',
  'a/%/c',
  '%/b',
  '*b*',
  'INBOX',
  'Inbox',
  '""',
  'zz',
  '"x %"',
);
const text = (...parts: (string | fc.Arbitrary<string>)[]): fc.Arbitrary<string> =>
  fc.tuple(...parts.map((part) => (typeof part === 'string' ? fc.constant(part) : part))).map((list) => list.join(''));

const command = fc.oneof(
  { weight: 6, arbitrary: text('SELECT ', mailbox) },
  { weight: 2, arbitrary: text('EXAMINE ', mailbox) },
  { weight: 1, arbitrary: fc.constantFrom('CLOSE', 'UNSELECT', 'CHECK') },
  { weight: 4, arbitrary: fc.constant('NOOP') },
  { weight: 4, arbitrary: text('CREATE ', mailbox) },
  { weight: 2, arbitrary: text('DELETE ', passing) },
  { weight: 2, arbitrary: text('RENAME ', passing, ' ', mailbox) },
  { weight: 2, arbitrary: text('SUBSCRIBE ', mailbox) },
  { weight: 1, arbitrary: text('UNSUBSCRIBE ', mailbox) },
  { weight: 3, arbitrary: text('LIST ', reference, ' ', pattern) },
  {
    weight: 2,
    arbitrary: text(
      'LSUB ',
      reference,
      ' ',
      pattern.filter((wanted) => wanted !== '""'),
    ),
  },
  { weight: 2, arbitrary: text('STATUS ', mailbox, ' (MESSAGES UIDNEXT UNSEEN)') },
  {
    weight: 8,
    arbitrary: fc
      .tuple(mailbox, flags, date, message)
      .map(([name, list, at, raw]) => `APPEND ${name} ${list} ${at} {${raw.length}+}\r\n${raw}`),
  },
  { weight: 12, arbitrary: text(named('FETCH'), ' ', items) },
  {
    weight: 14,
    arbitrary: text(
      named('STORE'),
      ' ',
      fc.constantFrom('', '+', '-'),
      'FLAGS',
      fc.constantFrom('', '', '.SILENT'),
      ' ',
      flags,
    ),
  },
  { weight: 5, arbitrary: text(named('COPY'), ' ', mailbox) },
  { weight: 5, arbitrary: text(named('MOVE'), ' ', mailbox) },
  { weight: 4, arbitrary: fc.constant('EXPUNGE') },
  { weight: 2, arbitrary: text('UID EXPUNGE ', uidSet) },
  { weight: 8, arbitrary: text(fc.constantFrom('', 'UID '), 'SEARCH ', searchKey) },
);

/** `clients`: how many there are to share the commands. */
export function acts(clients: number, maxLength: number): fc.Arbitrary<readonly Act[]> {
  return fc.array(fc.record({ by: fc.nat({ max: clients - 1 }), command }), { maxLength, size: 'max' });
}

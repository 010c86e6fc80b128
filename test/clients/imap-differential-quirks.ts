/** Where our answer to a command differs from Dovecot's. docs/quirks.md explains each by its name. */
import type { Act } from './imap-differential-commands.ts';
import type { Observed } from './imap-differential.ts';

type Pair = { readonly ours: Observed; readonly theirs: Observed };

type Quirk = {
  readonly isSeenIn: (command: string, pair: Pair) => boolean;
  /** From here on the two have different mailboxes. */
  readonly divides?: true;
};

/** Differences that random commands meet. */
export const quirks: Readonly<Record<string, Quirk>> = {
  'sequence-beyond-end': {
    isSeenIn: (command, { ours, theirs }) =>
      /\b90\b|SEARCH/.test(command) && ours.outcome === 'BAD' && theirs.outcome !== 'BAD',
    divides: true,
  },
  'refusal-codes': {
    isSeenIn: (_command, { ours, theirs }) => status(ours) === 'NO' && status(theirs) === 'NO',
  },
  'status-of-selected': {
    isSeenIn: (command, { theirs }) => command.startsWith('STATUS') && theirs.outcome === 'OK CLIENTBUG',
  },
  'copy-of-nothing': {
    isSeenIn: (command, { ours, theirs }) =>
      /^UID (COPY|MOVE)/.test(command) && ours.outcome === 'NO TRYCREATE' && theirs.outcome === 'OK',
  },
  'expunged-elsewhere': {
    isSeenIn: (command, { ours, theirs }) =>
      /FETCH|SEARCH|STORE/.test(command) &&
      ['OK', 'NO EXPUNGEISSUED'].includes(ours.outcome) &&
      (theirs.outcome.endsWith('EXPUNGEISSUED') || (theirs.outcome === 'OK' && hasMore(theirs, ours))),
  },
  'copy-expunged-elsewhere': {
    isSeenIn: (command, { ours, theirs }) =>
      /COPY|MOVE/.test(command) && status(ours) === 'OK' && theirs.outcome === 'NO EXPUNGEISSUED',
    divides: true,
  },
  'read-only': {
    isSeenIn: (command, { ours }) => /STORE|EXPUNGE/.test(command) && ours.outcome === 'NO NOPERM',
  },
  'move-read-only': {
    isSeenIn: (command, { ours }) => command.includes('MOVE') && ours.outcome === 'NO NOPERM',
    divides: true,
  },
  'list-root': {
    isSeenIn: (command, { ours, theirs }) => /^LIST \S+ ""$/.test(command) && ours.outcome === theirs.outcome,
  },
  'selected-deleted': {
    isSeenIn: (command, { ours, theirs }) => command === 'NOOP' && ours.outcome === 'OK' && theirs.outcome === 'BYE',
    divides: true,
  },
  'dovecot-dies': {
    isSeenIn: (command, { ours, theirs }) =>
      /COPY|MOVE/.test(command) && ours.outcome !== 'BYE' && theirs.outcome === 'BYE',
    divides: true,
  },
};

/** Null: they agree; a string names the quirk; undefined: a difference that nobody has explained. */
export function explain(command: string, pair: Pair): string | null | undefined {
  const { ours, theirs } = pair;
  if (ours.outcome === theirs.outcome && ours.answers.join('\n') === theirs.answers.join('\n')) return null;
  return Object.entries(quirks).find(([, quirk]) => quirk.isSeenIn(command, pair))?.[0];
}

function status({ outcome }: Observed): string {
  return outcome.split(' ', 1)[0] ?? '';
}

/** Of some messages it tells nothing, of all others the same. */
function hasMore(more: Observed, fewer: Observed): boolean {
  const messageOf = (answer: string): string => answer.split(' ', 1)[0] ?? '';
  const told = ({ answers }: Observed): readonly string[] =>
    answers.flatMap((answer) => (answer.startsWith('* SEARCH') ? answer.split(' ').slice(2) : [answer]));
  const known = new Set(told(fewer).map(messageOf));
  const common = told(more).filter((answer) => known.has(messageOf(answer)));
  return told(fewer).join('\n') === common.join('\n');
}

/** Commands that meet quirks which random ones seldom do. */
export const rareMeetings: readonly (readonly Act[])[] = [
  [
    { by: 0, command: 'CREATE B' },
    { by: 1, command: 'SELECT B' },
    { by: 1, command: 'DELETE B' },
  ],
  [
    { by: 1, command: String.raw`STORE 1 +FLAGS (\Deleted)` },
    { by: 1, command: 'EXPUNGE' },
    { by: 0, command: 'COPY 1:* a' },
  ],
];

type Difference = {
  /** The last of them is answered as follows, the others alike. */
  readonly acts: readonly Act[];
  readonly ours: readonly string[];
  readonly theirs: readonly string[];
};

const one = (...commands: readonly string[]): readonly Act[] => commands.map((command) => ({ by: 0, command }));
const letter = 'Subject: x\r\n\r\ny\r\n';
const append = (mailbox: string, flags: string): string =>
  `APPEND ${mailbox} ${flags} {${letter.length}+}\r\n${letter}`;

/** Differences that would divide the two too often: random commands keep off them. */
export const differences: Readonly<Record<string, Difference>> = {
  'level-without-mailbox': {
    acts: one('CREATE p/q', 'STATUS p (MESSAGES)'),
    ours: ['OK', '["p",[{"atom":"MESSAGES"},0]]'],
    theirs: ['NO'],
  },
  'delete-with-children': { acts: one('DELETE a'), ours: ['NO HASCHILDREN'], theirs: ['OK'] },
  'rename-inbox': {
    acts: one('RENAME INBOX old', 'SEARCH ALL'),
    ours: ['OK', '* SEARCH'],
    theirs: ['BYE'],
  },
  'lsub-root': { acts: one('LSUB "" ""'), ours: ['OK', 'LSUB (\\noselect) ["/",""]'], theirs: ['OK'] },
  'pattern-with-delimiter': {
    acts: one('LIST a /b'),
    ours: ['OK', 'LIST (\\hasnochildren) ["/","a/b"]'],
    theirs: ['OK'],
  },
  'no-date': {
    acts: one('SELECT a', append('a', '()'), 'SEARCH SENTBEFORE 1-Jan-2026'),
    ours: ['OK', '* SEARCH'],
    theirs: ['OK', '* SEARCH 1'],
  },
  'not-of-several': {
    acts: one(String.raw`STORE 1:* FLAGS (\Seen)`, 'SEARCH NOT (FLAGGED SEEN)'),
    ours: ['OK', '* SEARCH 1 2 3'],
    theirs: ['OK', '* SEARCH'],
  },
  'expunge-of-news': {
    acts: [{ by: 1, command: append('INBOX', String.raw`(\Deleted)`) }, ...one('EXPUNGE', 'SEARCH ALL')],
    ours: ['OK', '* SEARCH 1 2 3'],
    theirs: ['OK', '* SEARCH 1 2 3 4'],
  },
  'news-in-search': {
    acts: [{ by: 1, command: 'STORE 1 +FLAGS (Work)' }, ...one('SEARCH KEYWORD Work')],
    ours: ['OK', '* SEARCH 1'],
    theirs: ['OK', '* SEARCH'],
  },
};

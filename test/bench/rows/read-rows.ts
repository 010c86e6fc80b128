/** SELECT and FETCH of large mailboxes. */
import { sampleOf, type Bench } from '../bench.ts';
import type { Outcome } from '../client/tasks.ts';
import { loginOf, type MailServer, type ServerName } from '../servers/mail-server.ts';
import { bound, times, type Aim } from './aim.ts';
import { postgresRead } from './limits.ts';
import type { Row } from './row.ts';

const kib = 1024;
const dovecots: readonly ServerName[] = ['postrider', 'dovecot-mdbox', 'dovecot-sdbox'];

/** Messages of "Big"; a quick look has fewer. */
export function bigCount(bench: Bench): number {
  return bench.size(100_000, 5000);
}

export function fillBig(bench: Bench, server: MailServer): Promise<void> {
  return bench.fill(server, 'reader', { name: 'Big', count: bigCount(bench), bytes: 1500 });
}

function fillBodies(bench: Bench, server: MailServer): Promise<void> {
  return bench.fill(server, 'reader', { name: 'Bodies', count: bodiesCount(bench), bytes: 20 * kib });
}

const bodiesCount = (bench: Bench): number => bench.size(2000, 400);

type Read = {
  readonly mailbox: string;
  readonly commands: (bench: Bench) => readonly string[];
  readonly depth?: number;
  readonly tls?: boolean;
  readonly expect?: (bench: Bench) => { text: string; count: number };
  readonly hits?: (bench: Bench) => number;
  readonly servers?: readonly ServerName[];
  readonly limits?: Row['limits'];
  readonly prepare: NonNullable<Row['prepare']>;
  /** Milliseconds unless said otherwise. */
  readonly rate?: { readonly unit: 'MB/s'; readonly of: (outcome: Outcome) => number };
};

/** A row of commands that read. */
export function read(name: string, title: string, aim: Aim, o: Read): Row {
  return {
    name,
    title,
    unit: o.rate?.unit ?? 'ms',
    better: o.rate ? 'more' : 'less',
    aim,
    clearLogin: true,
    servers: o.servers ?? dovecots,
    prepare: o.prepare,
    ...(o.limits && { limits: o.limits }),
    async measure(bench, server) {
      const expect = o.expect?.(bench);
      const timed = await bench.timed(server, {
        kind: 'imap-script',
        login: loginOf(server, 'reader', { tls: o.tls === true }),
        before: [`SELECT ${o.mailbox}`],
        commands: o.commands(bench),
        depth: o.depth ?? 1,
        ...(expect && { expect }),
        ...(o.hits && { hits: o.hits(bench) }),
      });
      return sampleOf(timed, o.rate ? o.rate.of(timed.outcome) : timed.outcome.seconds * 1000);
    },
  };
}

const selectCold: Row = {
  name: 'select-cold',
  title: 'SELECT of 100,000 messages, cold process',
  unit: 'ms',
  better: 'less',
  aim: bound(50),
  clearLogin: true,
  servers: dovecots,
  prepare: fillBig,
  async measure(bench, server) {
    await server.restart();
    const timed = await bench.timed(server, {
      kind: 'imap-script',
      login: loginOf(server, 'reader'),
      before: [],
      commands: ['SELECT Big'],
      depth: 1,
      expect: { text: `* ${bigCount(bench)} EXISTS`, count: 1 },
    });
    return sampleOf(timed, timed.outcome.seconds * 1000);
  },
};

const everyMessage = (text: string) => (bench: Bench) => ({ text, count: bigCount(bench) });
const bigRows = (name: string, title: string, aim: Aim, items: string, column: string | null): Row =>
  read(name, title, aim, {
    mailbox: 'Big',
    prepare: fillBig,
    commands: () => [`FETCH 1:* ${items}`],
    expect: everyMessage(' FETCH ('),
    ...(column !== null && {
      limits: (bench) =>
        postgresRead(
          bench,
          `select e.${column} from message m join email e using (account_id) where e.id = m.email_id
             and m.mailbox_id = (select id from mailbox where name = 'Big') order by m.uid`,
        ),
    }),
  });

const thousands = (bench: Bench): readonly string[] =>
  Array.from({ length: bodiesCount(bench) }, (_, n) => `FETCH ${n + 1} BODY.PEEK[]`);
const everyBody = (bench: Bench) => ({ text: ' FETCH (', count: bodiesCount(bench) });
const withLoop: readonly ServerName[] = ['postrider', 'dovecot-mdbox', 'dovecot-sdbox', 'empty-loop'];

async function prepareBodies(bench: Bench, server: MailServer): Promise<void> {
  if (server.name !== 'empty-loop') await fillBodies(bench, server);
}

const bodies = (name: string, title: string, o: { isOne: boolean; depth: number; tls?: true }): Row =>
  read(name, title, times(o.tls ? 0.5 : 1, 'dovecot-mdbox', 'dovecot-sdbox'), {
    mailbox: 'Bodies',
    servers: o.tls ? dovecots : withLoop,
    prepare: prepareBodies,
    depth: o.depth,
    tls: o.tls === true,
    commands: (bench) => (o.isOne ? [`FETCH 1:${bodiesCount(bench)} BODY.PEEK[]`] : thousands(bench)),
    expect: everyBody,
  });

const largeMiB = 30;
const large = read('body-30m', 'a body of 30 MB to one client', bound(300, { 'MiB more': 16 }), {
  mailbox: 'Large',
  prepare: (bench, server) => bench.fill(server, 'reader', { name: 'Large', count: 1, bytes: largeMiB * kib * kib }),
  commands: () => ['FETCH 1 BODY.PEEK[]'],
  expect: () => ({ text: ' FETCH (', count: 1 }),
  rate: { unit: 'MB/s', of: ({ bytes, seconds }) => bytes / 1e6 / seconds },
});

export const readRows: readonly Row[] = [
  selectCold,
  bigRows(
    'fetch-envelopes',
    'FETCH of 100,000 envelopes',
    times(4, 'dovecot-mdbox', 'dovecot-sdbox'),
    '(ENVELOPE)',
    'envelope',
  ),
  bigRows('fetch-flags', 'FETCH of 100,000 flags', times(1, 'dovecot-mdbox', 'dovecot-sdbox'), '(FLAGS)', null),
  bigRows(
    'fetch-bodystructure',
    'FETCH of 100,000 BODYSTRUCTUREs',
    times(2, 'dovecot-mdbox', 'dovecot-sdbox'),
    '(BODYSTRUCTURE)',
    'bodystructure',
  ),
  bigRows(
    'fetch-thunderbird',
    'FETCH of what Thunderbird asks at first sync, 100,000',
    times(2, 'dovecot-mdbox', 'dovecot-sdbox'),
    '(UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])',
    null,
  ),
  // isync 1.4: the listing without MaxSize; each new body then comes by a UID FETCH n (BODY.PEEK[]) of its own, many
  // under way, which is bodies-depth-16.
  read(
    'fetch-mbsync',
    'UID FETCH of what mbsync asks at first sync, 100,000',
    times(2, 'dovecot-mdbox', 'dovecot-sdbox'),
    {
      mailbox: 'Big',
      prepare: fillBig,
      commands: () => ['UID FETCH 1:* (UID FLAGS)'],
      expect: everyMessage(' FETCH ('),
    },
  ),
  // imapflow 1: fetch('1:*', { uid, flags, bodyStructure, envelope, internalDate, size }), in its order of items.
  bigRows(
    'fetch-imapflow',
    'FETCH of what an imapflow client asks at first sync, 100,000',
    times(2, 'dovecot-mdbox', 'dovecot-sdbox'),
    '(UID FLAGS BODYSTRUCTURE ENVELOPE INTERNALDATE RFC822.SIZE)',
    null,
  ),
  bodies('bodies-one-command', '2,000 bodies of 20 KB, one command', { isOne: true, depth: 1 }),
  bodies('bodies-one-each', '2,000 bodies of 20 KB, one command each', { isOne: false, depth: 1 }),
  bodies('bodies-depth-16', '2,000 bodies of 20 KB, one command each, 16 under way', { isOne: false, depth: 16 }),
  bodies('bodies-one-command-tls', 'the same over TLS, one command', { isOne: true, depth: 1, tls: true }),
  bodies('bodies-one-each-tls', 'the same over TLS, one command each', { isOne: false, depth: 1, tls: true }),
  bodies('bodies-depth-16-tls', 'the same over TLS, 16 under way', { isOne: false, depth: 16, tls: true }),
  large,
];

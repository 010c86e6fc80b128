/** What is left of the speed after ten million changes, while a snapshot from before them is still open. */
import pg from 'pg';
import { sampleOf, type Bench, type Timed } from '../bench.ts';
import type { Task } from '../client/tasks.ts';
import { addressOf, loginOf, type MailServer } from '../servers/mail-server.ts';
import { Postrider } from '../servers/postrider.ts';
import { median } from '../statistics.ts';
import { bound } from './aim.ts';
import type { Row } from './row.ts';

const mailbox = 'Aged';
const repeats = 10;
const freshRounds = 3;
const mailboxCount = (bench: Bench): number => bench.size(10_000, 1000);
const changeCount = (bench: Bench): number => bench.size(10_000_000, 100_000);
/** What a run can spare; how many changes it were is told beside the figure. */
const mostSeconds = 120;

const works = {
  store: 'STORE of 10,000',
  select: 'SELECT of 10,000',
  fetch: 'FETCH of 10,000 flags',
  receive: 'receiving',
} as const;
type Work = keyof typeof works;

function taskOf(bench: Bench, server: MailServer, work: Work): Task {
  if (work === 'receive') {
    return {
      kind: 'smtp',
      port: server.smtpPort ?? 0,
      sessions: 10,
      bytes: 4096,
      seconds: bench.seconds(2, 1),
      messagesPerConnection: 1000,
      recipients: [[addressOf('writer')]],
    };
  }
  const commands = {
    store: ['STORE 1:* +FLAGS.SILENT (\\Answered)', 'STORE 1:* -FLAGS.SILENT (\\Answered)'],
    select: [`SELECT ${mailbox}`, `SELECT ${mailbox}`],
    fetch: ['FETCH 1:* (FLAGS)', 'FETCH 1:* (FLAGS)'],
  }[work];
  return {
    kind: 'imap-script',
    login: loginOf(server, 'writer'),
    before: [`SELECT ${mailbox}`],
    commands: Array.from({ length: repeats / 2 }, () => commands).flat(),
    depth: 1,
  };
}

const perUnit = ({ outcome }: Timed): number => outcome.seconds / outcome.count;

type Aged = {
  /** Seconds a command or a message before the changes. */
  readonly fresh: Readonly<Record<Work, number>>;
  readonly changes: Readonly<Record<string, number>>;
};

function age(bench: Bench, server: Postrider): Promise<Aged> {
  return bench.once(server, 'aged', async () => {
    await bench.fill(server, 'writer', { name: mailbox, count: mailboxCount(bench), bytes: 2048, distinct: 1000 });
    const costOf = async (work: Work): Promise<number> => {
      const all: number[] = [];
      for (let n = 0; n <= freshRounds; n++) all.push(perUnit(await bench.timed(server, taskOf(bench, server, work))));
      return median(all.slice(1));
    };
    const fresh = {
      store: await costOf('store'),
      select: await costOf('select'),
      fetch: await costOf('fetch'),
      receive: await costOf('receive'),
    };
    bench.own(await openSnapshot(server.databaseUrl));
    const { also = {} } = await bench.client.run(
      {
        kind: 'imap-changes',
        login: loginOf(server, 'writer'),
        mailbox,
        changes: changeCount(bench),
        seconds: mostSeconds,
      },
      undefined,
      2 * mostSeconds * 1000,
    );
    return { fresh, changes: also };
  });
}

/** A transaction that sees the database as it is now, as a dump does: nothing that is replaced can be cleared away. */
async function openSnapshot(url: string): Promise<AsyncDisposable> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('begin isolation level repeatable read');
  await client.query('select count(*) from account');
  return { [Symbol.asyncDispose]: () => client.end() };
}

function aged(work: Work): Row {
  return {
    name: `aged-${work}`,
    title: `${works[work]} after 10,000,000 messages stored, moved and expunged under an open snapshot, against before`,
    unit: 'x',
    better: 'less',
    aim: bound(1.5),
    clearLogin: true,
    isNearOnly: true,
    servers: ['postrider'],
    async prepare(bench, server) {
      if (server instanceof Postrider) await age(bench, server);
    },
    async measure(bench, server) {
      const { fresh, changes } = await age(bench, server as Postrider);
      const timed = await bench.timed(server, taskOf(bench, server, work));
      return sampleOf(timed, perUnit(timed) / fresh[work], {
        'ms fresh': fresh[work] * 1000,
        'ms now': perUnit(timed) * 1000,
        ...changes,
      });
    },
  };
}

export const agedRows: readonly Row[] = [aged('store'), aged('select'), aged('fetch'), aged('receive')];

/** How much more the same work costs in a large mailbox than in a small one, and among many mailboxes than among few. */
import { sampleOf, type Bench, type Timed } from '../bench.ts';
import type { Task } from '../client/tasks.ts';
import type { Sample } from '../results.ts';
import { manyAddresses, makeManyAccounts } from '../servers/many-accounts.ts';
import { addressOf, loginOf, plainUsers, type MailServer, type ServerName } from '../servers/mail-server.ts';
import type { Postrider } from '../servers/postrider.ts';
import { bound } from './aim.ts';
import { bigCount, fillBig } from './read-rows.ts';
import type { Row } from './row.ts';

const servers: readonly ServerName[] = ['postrider', 'dovecot-mdbox'];
const smallCount = 1000;
/** Commands of one sample: a single one is too short for the clock. */
const repeats = 20;

/** Messages of reader's INBOX: copies of those of "Big", whose texts are all different. */
export const hugeCount = (bench: Bench): number => bench.size(1_000_000, 20_000);
const manyCount = (bench: Bench): number => bench.size(10_000, 500);

function fillSmall(bench: Bench, server: MailServer): Promise<void> {
  return bench.fill(server, 'reader', { name: 'Small', count: smallCount, bytes: 1500 });
}

async function fillBoth(bench: Bench, server: MailServer): Promise<void> {
  await fillSmall(bench, server);
  await fillBig(bench, server);
}

/** A million messages in INBOX, so that they can be delivered into as well. */
export async function fillHuge(bench: Bench, server: MailServer): Promise<void> {
  await fillBoth(bench, server);
  await bench.once(server, 'huge', async () => {
    const login = loginOf(server, 'reader');
    await bench.client.run({ kind: 'imap-copies', login, from: 'Big', to: 'INBOX', count: hugeCount(bench) });
    await server.settled(hugeCount(bench));
  });
}

async function fillInboxes(bench: Bench, server: MailServer): Promise<void> {
  await bench.fill(server, 'grown', { name: 'INBOX', count: bigCount(bench), bytes: 1500, distinct: smallCount });
  await fillSmallInbox(bench, server);
}

function fillSmallInbox(bench: Bench, server: MailServer): Promise<void> {
  return bench.fill(server, 'idler', { name: 'INBOX', count: smallCount, bytes: 1500 });
}

function script(server: MailServer, before: readonly string[], commands: readonly string[]): Task {
  return { kind: 'imap-script', login: loginOf(server, 'reader'), before, commands, depth: 1 };
}

const selects = (server: MailServer, mailbox: string): Task =>
  script(server, [], Array(repeats).fill(`SELECT ${mailbox}`) as string[]);

const newest = (server: MailServer, mailbox: string, count: number): Task =>
  script(
    server,
    [`SELECT ${mailbox}`],
    Array(repeats).fill(`FETCH ${count - 49}:${count} (UID FLAGS ENVELOPE)`) as string[],
  );

function receive(bench: Bench, server: MailServer, recipients: readonly string[]): Task {
  return {
    kind: 'smtp',
    port: server.smtpPort ?? 0,
    sessions: 10,
    bytes: 4096,
    seconds: bench.seconds(2, 1),
    messagesPerConnection: 1000,
    recipients: recipients.map((recipient) => [recipient]),
  };
}

const perUnit = ({ outcome }: Timed): number => outcome.seconds / outcome.count;

async function ratio(bench: Bench, server: MailServer, small: Task, large: Task): Promise<Sample> {
  const few = perUnit(await bench.timed(server, small));
  return against(few, await bench.timed(server, large));
}

function against(few: number, large: Timed): Sample {
  return sampleOf(large, perUnit(large) / few, { 'ms small': few * 1000, 'ms large': perUnit(large) * 1000 });
}

type Growth = Pick<Row, 'name' | 'title' | 'measure'> & Partial<Row>;

function growth(row: Growth): Row {
  const common = { unit: 'x', better: 'less', aim: bound(1.5), clearLogin: true, isNearOnly: true } as const;
  return { ...common, servers: ['postrider'], ...row };
}

type Few = { readonly select: number; readonly newest: number; readonly receive: number };

/** What the same work costs while the service has a hundred mailboxes; then it gets ten thousand more, with mail. */
function beforeMany(bench: Bench, server: MailServer): Promise<Few> {
  return bench.once(server, 'many accounts', async () => {
    await fillSmall(bench, server);
    const cost = async (task: Task): Promise<number> => {
      await bench.timed(server, task);
      const all = [perUnit(await bench.timed(server, task)), perUnit(await bench.timed(server, task))];
      return all.reduce((sum, one) => sum + one) / all.length;
    };
    const few = {
      select: await cost(selects(server, 'Small')),
      newest: await cost(newest(server, 'Small', smallCount)),
      receive: await cost(receive(bench, server, plainUsers.slice(0, 10).map(addressOf))),
    };
    await makeManyAccounts((server as Postrider).databaseUrl, manyCount(bench));
    // A message for each, so that every mailbox has been used.
    await bench.client.run({
      kind: 'smtp',
      port: server.smtpPort ?? 0,
      sessions: 4,
      bytes: 4096,
      seconds: bench.size(10, 1),
      messagesPerConnection: 1000,
      recipients: groups(manyAddresses(manyCount(bench)), 50),
    });
    return few;
  });
}

function groups(all: readonly string[], size: number): readonly (readonly string[])[] {
  return Array.from({ length: Math.ceil(all.length / size) }, (_, n) => all.slice(n * size, (n + 1) * size));
}

function amongMany(name: keyof Few, title: string, task: (bench: Bench, server: MailServer) => Task): Row {
  return growth({
    name: `growth-${name}-10k-mailboxes`,
    title: `${title} with 10,000 mailboxes in the service against 100`,
    async prepare(bench, server) {
      await beforeMany(bench, server);
    },
    async measure(bench, server) {
      const few = await beforeMany(bench, server);
      return against(few[name], await bench.timed(server, task(bench, server)));
    },
  });
}

export const growthRows: readonly Row[] = [
  growth({
    name: 'growth-select',
    title: 'SELECT of 100,000 against 1,000, warm',
    servers,
    prepare: fillBoth,
    measure: (bench, server) => ratio(bench, server, selects(server, 'Small'), selects(server, 'Big')),
  }),
  growth({
    name: 'growth-newest',
    title: 'FETCH of the newest 50 of 100,000 against 1,000',
    servers,
    prepare: fillBoth,
    measure: (bench, server) =>
      ratio(bench, server, newest(server, 'Small', smallCount), newest(server, 'Big', bigCount(bench))),
  }),
  growth({
    name: 'growth-receive',
    title: 'receiving into INBOX with 100,000 against 1,000',
    prepare: fillInboxes,
    measure: (bench, server) =>
      ratio(bench, server, receive(bench, server, [addressOf('idler')]), receive(bench, server, [addressOf('grown')])),
  }),
  growth({
    name: 'growth-select-1m',
    title: 'SELECT of 1,000,000 against 1,000, warm',
    prepare: fillHuge,
    measure: (bench, server) => ratio(bench, server, selects(server, 'Small'), selects(server, 'INBOX')),
  }),
  growth({
    name: 'growth-newest-1m',
    title: 'FETCH of the newest 50 of 1,000,000 against 1,000',
    prepare: fillHuge,
    measure: (bench, server) =>
      ratio(bench, server, newest(server, 'Small', smallCount), newest(server, 'INBOX', hugeCount(bench))),
  }),
  growth({
    name: 'growth-receive-1m',
    title: 'receiving into INBOX with 1,000,000 against 1,000',
    async prepare(bench, server) {
      await fillHuge(bench, server);
      await fillSmallInbox(bench, server);
    },
    measure: (bench, server) =>
      ratio(bench, server, receive(bench, server, [addressOf('idler')]), receive(bench, server, [addressOf('reader')])),
  }),
  amongMany('select', 'SELECT', (_bench, server) => selects(server, 'Small')),
  amongMany('newest', 'FETCH of the newest 50', (_bench, server) => newest(server, 'Small', smallCount)),
  amongMany('receive', 'receiving into all of them,', (bench, server) =>
    receive(bench, server, manyAddresses(manyCount(bench))),
  ),
];

/** How much more the same work costs in a large mailbox than in a small one. */
import { sampleOf, type Bench, type Timed } from '../bench.ts';
import type { Task } from '../client/tasks.ts';
import { addressOf, loginOf, type MailServer, type ServerName } from '../servers/mail-server.ts';
import { bound } from './aim.ts';
import { bigCount, fillBig } from './read-rows.ts';
import type { Row } from './row.ts';

const aim = bound(1.5);
const servers: readonly ServerName[] = ['postrider', 'dovecot-mdbox'];
const smallCount = 1000;
/** Commands of one sample: a single one is too short for the clock. */
const repeats = 20;

function fillSmall(bench: Bench, server: MailServer): Promise<void> {
  return bench.fill(server, 'reader', { name: 'Small', count: smallCount, bytes: 1500 });
}

async function fillBoth(bench: Bench, server: MailServer): Promise<void> {
  await fillSmall(bench, server);
  await fillBig(bench, server);
}

function script(server: MailServer, before: readonly string[], commands: readonly string[]): Task {
  return { kind: 'imap-script', login: loginOf(server, 'reader'), before, commands, depth: 1 };
}

async function ratio(bench: Bench, server: MailServer, small: Task, large: Task) {
  const few = await bench.timed(server, small);
  const many = await bench.timed(server, large);
  const perUnit = ({ outcome }: Timed): number => outcome.seconds / outcome.count;
  return sampleOf(many, perUnit(many) / perUnit(few), {
    'ms small': perUnit(few) * 1000,
    'ms large': perUnit(many) * 1000,
  });
}

export const growthRows: readonly Row[] = [
  {
    name: 'growth-select',
    title: 'SELECT of 100,000 against 1,000, warm',
    unit: 'x',
    better: 'less',
    aim,
    clearLogin: true,
    servers,
    prepare: fillBoth,
    measure: (bench, server) =>
      ratio(
        bench,
        server,
        script(server, [], Array(repeats).fill('SELECT Small') as string[]),
        script(server, [], Array(repeats).fill('SELECT Big') as string[]),
      ),
  },
  {
    name: 'growth-newest',
    title: 'FETCH of the newest 50 of 100,000 against 1,000',
    unit: 'x',
    better: 'less',
    aim,
    clearLogin: true,
    servers,
    prepare: fillBoth,
    measure(bench, server) {
      const newest = (count: number): string[] =>
        Array(repeats).fill(`FETCH ${count - 49}:${count} (UID FLAGS ENVELOPE)`) as string[];
      return ratio(
        bench,
        server,
        script(server, ['SELECT Small'], newest(smallCount)),
        script(server, ['SELECT Big'], newest(bigCount(bench))),
      );
    },
  },
  {
    name: 'growth-receive',
    title: 'receiving into INBOX with 100,000 against 1,000',
    unit: 'x',
    better: 'less',
    aim,
    clearLogin: true,
    servers: ['postrider'],
    async prepare(bench, server) {
      await bench.fill(server, 'grown', { name: 'INBOX', count: bigCount(bench), bytes: 1500, distinct: smallCount });
      await bench.fill(server, 'idler', { name: 'INBOX', count: smallCount, bytes: 1500 });
    },
    measure(bench, server) {
      const into = (user: string): Task => ({
        kind: 'smtp',
        port: server.smtpPort ?? 0,
        sessions: 10,
        bytes: 4096,
        seconds: bench.seconds(3, 1),
        messagesPerConnection: 1000,
        recipients: [[addressOf(user)]],
      });
      return ratio(bench, server, into('idler'), into('grown'));
    },
  },
];

/** Messages received over SMTP and durable in a mailbox. */
import type { Bench } from '../bench.ts';
import { sampleOf } from '../bench.ts';
import type { Task } from '../client/tasks.ts';
import { addressOf, plainUsers, type MailServer } from '../servers/mail-server.ts';
import { times, type Aim } from './aim.ts';
import { disk, postgresWrites } from './limits.ts';
import type { Row } from './row.ts';

const kib = 1024;
/** Mailboxes that messages go to in turn. */
const mailboxes = plainUsers.slice(0, 10).map((user) => [addressOf(user)]);

type Load = {
  readonly sessions: number;
  readonly bytes: number;
  readonly startTls?: boolean;
  readonly messagesPerConnection?: number;
  readonly recipients?: readonly (readonly string[])[];
};

function taskOf(bench: Bench, server: MailServer, load: Load): Extract<Task, { kind: 'smtp' }> {
  if (server.smtpPort === null) throw new Error(`${server.name} has no SMTP`);
  return {
    kind: 'smtp',
    port: server.smtpPort,
    ...(load.startTls === true && { startTls: true }),
    sessions: load.sessions,
    bytes: load.bytes,
    seconds: bench.seconds(3, 1.5),
    messagesPerConnection: load.messagesPerConnection ?? 1000,
    recipients: load.recipients ?? mailboxes,
  };
}

function receive(name: string, title: string, aim: Aim, load: Load): Row {
  const copies = load.recipients?.[0]?.length ?? 1;
  return {
    name,
    title,
    unit: '/s',
    better: 'more',
    aim,
    servers: load.startTls === true ? ['postrider', 'postfix'] : ['postrider', 'postfix', 'empty-loop'],
    async measure(bench, server) {
      const task = taskOf(bench, server, load);
      const timed = await bench.timed(server, task, { settle: ({ count }) => count * copies });
      return sampleOf(timed, timed.outcome.count / timed.seconds, {
        'accepted /s': timed.outcome.count / timed.outcome.seconds,
      });
    },
    async limits(bench) {
      return { ...(await disk(bench)), ...(await postgresWrites(bench, load.bytes, load.sessions)) };
    },
  };
}

export const receiveRows: readonly Row[] = [
  receive('receive-4k-50', 'receive 4 KB, 50 sessions', times(5, 'postfix'), { sessions: 50, bytes: 4 * kib }),
  receive('receive-4k-10', 'receive 4 KB, 10 sessions', times(3, 'postfix'), { sessions: 10, bytes: 4 * kib }),
  receive('receive-4k-1', 'receive 4 KB, 1 session', times(1.5, 'postfix'), { sessions: 1, bytes: 4 * kib }),
  receive('receive-50k-50', 'receive 50 KB, 50 sessions', times(3.5, 'postfix'), { sessions: 50, bytes: 50 * kib }),
  receive('receive-50k-10', 'receive 50 KB, 10 sessions', times(2, 'postfix'), { sessions: 10, bytes: 50 * kib }),
  receive('receive-connect-10', 'receive 4 KB, one message a connection, 10 at a time', times(2, 'postfix'), {
    sessions: 10,
    bytes: 4 * kib,
    messagesPerConnection: 1,
  }),
  // Half of what the plain ones reach is enough.
  receive('receive-4k-50-tls', 'receive 4 KB over TLS, 50 sessions', times(2.5, 'postfix'), {
    sessions: 50,
    bytes: 4 * kib,
    startTls: true,
  }),
  receive('receive-4k-10-tls', 'receive 4 KB over TLS, 10 sessions', times(1.5, 'postfix'), {
    sessions: 10,
    bytes: 4 * kib,
    startTls: true,
  }),
  receive('receive-50-recipients', 'one message of 50 KB to 50 local recipients, 1 session', times(10, 'postfix'), {
    sessions: 1,
    bytes: 50 * kib,
    recipients: [plainUsers.map(addressOf)],
  }),
];

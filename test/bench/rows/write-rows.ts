/** STORE, COPY, MOVE, EXPUNGE and APPEND. */
import { sampleOf, type Bench } from '../bench.ts';
import { loginOf, marker, plainUsers, type MailServer, type ServerName } from '../servers/mail-server.ts';
import { times, type Aim } from './aim.ts';
import { disk, postgresWrites } from './limits.ts';
import type { Row } from './row.ts';

const kib = 1024;
const servers: readonly ServerName[] = ['postrider', 'dovecot-mdbox', 'dovecot-sdbox'];

const workCount = (bench: Bench): number => bench.size(10_000, 2000);

function fillWork(bench: Bench, server: MailServer, user: string): Promise<void> {
  return bench.fill(server, user, { name: 'Work', count: workCount(bench), bytes: 2 * kib });
}

type Bulk = {
  readonly user: string;
  readonly before: readonly string[];
  readonly command: string;
  readonly told?: string;
};

function bulk(name: string, aim: Aim, o: Bulk): Row {
  return {
    name,
    title: `${o.command.split(' ')[0]} of 10,000 messages`,
    unit: 'ms',
    better: 'less',
    aim,
    clearLogin: true,
    servers,
    prepare: (bench, server) => fillWork(bench, server, o.user),
    async measure(bench, server) {
      const timed = await bench.timed(server, {
        kind: 'imap-script',
        login: loginOf(server, o.user),
        before: o.before,
        commands: [o.command],
        depth: 1,
        ...(o.told !== undefined && { expect: { text: o.told, count: workCount(bench) } }),
      });
      return sampleOf(timed, timed.outcome.seconds * 1000);
    },
  };
}

const fresh = ['DELETE Target', 'CREATE Target', 'SELECT Work'];
/** MOVE and EXPUNGE empty a copy, so that each round begins alike. */
const copied = ['DELETE Copied', 'CREATE Copied', 'SELECT Work', 'COPY 1:* Copied', 'SELECT Copied'];

function append(name: string, connections: number): Row {
  return {
    name,
    title: `APPEND of 20 KB, ${connections} ${connections === 1 ? 'connection' : 'connections'}`,
    unit: '/s',
    better: 'more',
    aim: times(1.5, 'dovecot-mdbox', 'dovecot-sdbox'),
    clearLogin: true,
    servers: ['postrider', 'dovecot-mdbox', 'dovecot-sdbox', 'empty-loop'],
    async measure(bench, server) {
      const timed = await bench.timed(server, {
        kind: 'imap-append',
        logins: plainUsers.slice(10, 10 + connections).map((user) => loginOf(server, user)),
        bytes: 20 * kib,
        seconds: bench.seconds(3, 1),
        mailbox: 'INBOX',
      });
      return sampleOf(timed, timed.outcome.count / timed.outcome.seconds);
    },
    async limits(bench) {
      return { ...(await disk(bench)), ...(await postgresWrites(bench, 20 * kib, connections)) };
    },
  };
}

function storeOne(name: string, connections: number): Row {
  return {
    name,
    title: `STORE of one flag, ${connections} ${connections === 1 ? 'connection' : 'connections to one mailbox'}`,
    unit: '/s',
    better: 'more',
    aim: times(1, 'dovecot-mdbox', 'dovecot-sdbox'),
    clearLogin: true,
    servers: ['postrider', 'dovecot-mdbox', 'dovecot-sdbox', 'empty-loop'],
    async prepare(bench, server) {
      if (server.name !== 'empty-loop') await fillWork(bench, server, marker);
    },
    async measure(bench, server) {
      const timed = await bench.timed(server, {
        kind: 'imap-store',
        logins: Array.from({ length: connections }, () => loginOf(server, marker)),
        seconds: bench.seconds(3, 1),
        mailbox: 'Work',
      });
      return sampleOf(timed, timed.outcome.count / timed.outcome.seconds);
    },
    limits: disk,
  };
}

export const writeRows: readonly Row[] = [
  bulk('store', times(1, 'dovecot-mdbox'), {
    user: marker,
    before: ['SELECT Work', 'STORE 1:* -FLAGS.SILENT (\\Answered)'],
    command: 'STORE 1:* +FLAGS (\\Answered)',
    told: ' FETCH (',
  }),
  bulk('copy', times(2, 'dovecot-mdbox'), { user: 'writer', before: fresh, command: 'COPY 1:* Target' }),
  bulk('move', times(2, 'dovecot-mdbox'), {
    user: 'writer',
    before: ['DELETE Target', 'CREATE Target', ...copied],
    command: 'MOVE 1:* Target',
    told: ' EXPUNGE\r\n',
  }),
  bulk('expunge', times(1, 'dovecot-mdbox'), {
    user: 'writer',
    before: [...copied, 'STORE 1:* +FLAGS.SILENT (\\Deleted)'],
    command: 'EXPUNGE',
    told: ' EXPUNGE\r\n',
  }),
  storeOne('store-one-1', 1),
  storeOne('store-one-10', 10),
  append('append-1', 1),
  append('append-10', 10),
];

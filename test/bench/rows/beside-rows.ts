/** What one session may do to the others: a search of a million messages, and ten minutes of everything. */
import { sampleOf, type Bench } from '../bench.ts';
import { needle, needleEvery } from '../client/messages.ts';
import type { Task } from '../client/tasks.ts';
import { MemoryWatch } from '../memory-watch.ts';
import { addressOf, loginOf, plainUsers, type MailServer } from '../servers/mail-server.ts';
import { Postrider } from '../servers/postrider.ts';
import { bound } from './aim.ts';
import { fillHuge, hugeCount } from './growth-rows.ts';
import { bigCount } from './read-rows.ts';
import type { Row } from './row.ts';

const mostMs = 50;
const besides = 4;

type Hits = Extract<Task, { kind: 'beside-search' }>['hits'];
const none: Hits = { least: 0, most: 0 };

function searching(bench: Bench, server: MailServer, word: string | null, hits: Hits): Task {
  return {
    kind: 'beside-search',
    searcher: loginOf(server, 'reader'),
    mailbox: 'INBOX',
    word,
    hits,
    others: plainUsers.slice(0, besides).map((user) => loginOf(server, user)),
    smtpPort: server.smtpPort ?? 0,
    recipient: addressOf('user9'),
    seconds: bench.seconds(6, 2),
  };
}

function besideSearch(name: string, title: string, word: string, hits: (bench: Bench) => Hits): Row {
  return {
    name,
    title: `NOOP p99 of others while one searches TEXT of 1,000,000, ${title}`,
    unit: 'ms',
    better: 'less',
    aim: bound(mostMs, { 'delivery p99 ms': mostMs }),
    clearLogin: true,
    rounds: 2,
    servers: ['postrider'],
    prepare: fillHuge,
    async measure(bench, server) {
      const timed = await bench.timed(server, searching(bench, server, word, hits(bench)));
      return sampleOf(timed, timed.outcome.also?.['NOOP p99 ms'] ?? Number.NaN);
    },
    async limits(bench) {
      const server = bench.servers.get('postrider');
      if (!server) return {};
      const { also = {} } = await bench.client.run(searching(bench, server, null, none));
      return {
        'without the search, NOOP p99 ms': also['NOOP p99 ms'] ?? Number.NaN,
        'without the search, delivery p99 ms': also['delivery p99 ms'] ?? Number.NaN,
      };
    },
  };
}

/** Copies have the words of what they were copied from. */
function rareHits(bench: Bench): Hits {
  return {
    least: Math.ceil(bigCount(bench) / needleEvery) * (hugeCount(bench) / bigCount(bench)),
    most: Number.MAX_SAFE_INTEGER,
  };
}

const memoryFlat: Row = {
  name: 'memory-flat',
  title:
    'growth of our memory under ten minutes of receiving, reading, idling and going; the first fifth does not count',
  unit: 'MB/min',
  better: 'less',
  aim: bound(1, { 'heap MB/min': 1 }),
  clearLogin: true,
  rounds: 1,
  isSeparate: true,
  isNearOnly: true,
  servers: ['postrider'],
  async measure(bench, server) {
    if (!(server instanceof Postrider)) throw new Error('only our own memory is watched');
    const some = plainUsers.slice(0, 12);
    const seconds = bench.isBrief ? 5 : bench.size(600, 30);
    const watch = new MemoryWatch(server);
    const timed = await bench.timed(
      server,
      {
        kind: 'mixed',
        smtpPort: server.smtpPort,
        recipients: some.map(addressOf),
        logins: some.map((user) => loginOf(server, user)),
        seconds,
      },
      { deadlineMs: (seconds + 60) * 1000 },
    );
    const { resident, heap } = await watch.stop();
    return sampleOf(timed, resident, { 'heap MB/min': heap });
  },
};

export const besideRows: readonly Row[] = [
  besideSearch('search-1m-miss', 'a word that is nowhere', 'zyxwvutsrq', () => none),
  besideSearch('search-1m-rare', 'a word of one in 500', needle.body, rareHits),
  memoryFlat,
];

/** What others feel while one session searches a very large mailbox. */
import { setTimeout as sleep } from 'node:timers/promises';
import { percentile } from '../statistics.ts';
import { ImapConnection } from './imap-connection.ts';
import { uniqueStart } from './imap-load.ts';
import { messageMaker } from './messages.ts';
import { SmtpConnection } from './smtp-load.ts';
import type { Begin, Outcome, Task } from './tasks.ts';

const noopPauseMs = 10;
const deliveryPauseMs = 20;

/** Sessions say NOOP and a sender delivers for so long, while one connection searches without a pause. */
export async function besideSearch(
  task: Extract<Task, { kind: 'beside-search' }>,
  begin: Begin,
): Promise<Omit<Outcome, 'cpuSeconds'>> {
  const searcher = await ImapConnection.login(task.searcher);
  await searcher.command(`SELECT ${task.mailbox}`);
  const others = await Promise.all(task.others.map((login) => ImapConnection.login(login)));
  for (const other of others) await other.command('SELECT INBOX');
  const sender = await SmtpConnection.open(task.smtpPort);
  const make = messageMaker(4096);
  const start = uniqueStart();
  const noops: number[] = [];
  const deliveries: number[] = [];
  const searches: number[] = [];
  let hits = 0;
  await begin();
  const startedAt = performance.now();
  const isOver = (): boolean => performance.now() - startedAt >= task.seconds * 1000;
  const search = async (): Promise<void> => {
    while (!isOver() && task.word !== null) {
      const sentAt = performance.now();
      let found = '';
      searcher.onChunk = (chunk) => (found += chunk.toString('latin1'));
      await searcher.command(`SEARCH TEXT ${task.word}`);
      searches.push(performance.now() - sentAt);
      hits = /^\* SEARCH((?: \d+)*)/m.exec(found)?.[1]?.match(/\d+/g)?.length ?? 0;
    }
  };
  // A search that outlives the others is not waited for.
  const searching = search().catch((error: unknown) => {
    if (!isOver()) throw error;
  });
  const noop = async (connection: ImapConnection): Promise<void> => {
    while (!isOver()) {
      const sentAt = performance.now();
      await connection.command('NOOP');
      noops.push(performance.now() - sentAt);
      await sleep(noopPauseMs);
    }
  };
  const deliver = async (): Promise<void> => {
    for (let n = 0; !isOver(); n++) {
      deliveries.push(await sender.deliver([task.recipient], make(start + n)));
      await sleep(deliveryPauseMs);
    }
  };
  await Promise.all([...others.map(noop), deliver()]);
  const seconds = (performance.now() - startedAt) / 1000;
  searcher.close();
  await searching;
  await sender.quit();
  for (const other of others) await other.logout();
  const { least, most } = task.hits;
  if (searches.length > 0 && (hits < least || hits > most)) throw new Error(`expected ${least} hits, got ${hits}`);
  for (const all of [noops, deliveries, searches]) all.sort((a, b) => a - b);
  return {
    count: searches.length,
    seconds,
    bytes: 0,
    also: {
      'NOOP p50 ms': percentile(noops, 50),
      'NOOP p99 ms': percentile(noops, 99),
      'delivery p50 ms': percentile(deliveries, 50),
      'delivery p99 ms': percentile(deliveries, 99),
      searches: searches.length,
      ...(searches.length > 0 && { 'SEARCH p50 ms': percentile(searches, 50) }),
    },
  };
}

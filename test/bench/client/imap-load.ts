/** What the rows do over IMAP. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ImapConnection } from './imap-connection.ts';
import { messageMaker } from './messages.ts';
import { percentile } from '../statistics.ts';
import type { Begin, Login, Outcome, Task } from './tasks.ts';

type TaskOf<K extends Task['kind']> = Extract<Task, { kind: K }>;
type Done = Omit<Outcome, 'cpuSeconds'>;

export async function imapScript(task: TaskOf<'imap-script'>, begin: Begin): Promise<Done> {
  const connection = await ImapConnection.login(task.login);
  for (const command of task.before) await connection.send(command);
  const counter = task.expect === undefined ? null : new TextCounter(task.expect.text);
  await begin();
  const bytesBefore = connection.bytes;
  let found = '';
  if (counter) connection.onChunk = (chunk) => counter.hear(chunk);
  else if (task.hits !== undefined) connection.onChunk = (chunk) => (found += chunk.toString('latin1'));
  const startedAt = performance.now();
  await connection.pipeline(task.commands, task.depth);
  const seconds = (performance.now() - startedAt) / 1000;
  await connection.logout();
  const hits = /^\* SEARCH((?: \d+)*)/m.exec(found)?.[1]?.match(/\d+/g)?.length ?? 0;
  if (task.hits !== undefined && hits !== task.hits) throw new Error(`expected ${task.hits} hits, got ${hits}`);
  if (counter && counter.count !== task.expect?.count) {
    throw new Error(`expected ${task.expect?.count} of "${task.expect?.text}" in the answers, got ${counter.count}`);
  }
  return { count: task.commands.length, seconds, bytes: connection.bytes - bytesBefore };
}

/** Counts a text in a stream, over the borders of its chunks. */
class TextCounter {
  readonly #text: Buffer;
  #rest = Buffer.alloc(0);
  count = 0;

  constructor(text: string) {
    this.#text = Buffer.from(text, 'latin1');
  }

  hear(chunk: Buffer): void {
    const all = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let from = 0;
    for (let at = all.indexOf(this.#text); at !== -1; at = all.indexOf(this.#text, from)) {
      this.count += 1;
      from = at + this.#text.length;
    }
    this.#rest = Buffer.from(all.subarray(Math.max(from, all.length - this.#text.length + 1)));
  }
}

/** Connect, LOGIN, SELECT INBOX, LOGOUT, again and again. */
export async function imapLogins(task: TaskOf<'imap-logins'>, begin: Begin): Promise<Done> {
  let bytes = 0;
  const cycle = async (n: number): Promise<void> => {
    const connection = await ImapConnection.login(task.logins[n % task.logins.length] as Login);
    await connection.command('SELECT INBOX');
    await connection.command('LOGOUT');
    connection.close();
    bytes += connection.bytes;
  };
  return timed(task.connections, task.seconds, begin, cycle, () => bytes);
}

export async function imapAppend(task: TaskOf<'imap-append'>, begin: Begin): Promise<Done> {
  const make = messageMaker(task.bytes);
  const connections = await Promise.all(task.logins.map((login) => ImapConnection.login(login)));
  const start = uniqueStart();
  const result = await timed(task.logins.length, task.seconds, begin, async (n, lane) => {
    await (connections[lane] as ImapConnection).append(task.mailbox, [make(start + n)]);
  });
  for (const connection of connections) await connection.logout();
  return { ...result, bytes: result.count * task.bytes };
}

/** \Flagged on and off, each connection on messages of its own. */
export async function imapStore(task: TaskOf<'imap-store'>, begin: Begin): Promise<Done> {
  const connections = await Promise.all(task.logins.map((login) => ImapConnection.login(login)));
  for (const connection of connections) await connection.command(`SELECT ${task.mailbox}`);
  const result = await timed(task.logins.length, task.seconds, begin, async (n, lane) => {
    const sign = Math.floor(n / 50 / task.logins.length) % 2 === 0 ? '+' : '-';
    const message = 1 + lane * 50 + (Math.floor(n / task.logins.length) % 50);
    await (connections[lane] as ImapConnection).command(`STORE ${message} ${sign}FLAGS (\\Flagged)`);
  });
  for (const connection of connections) await connection.logout();
  return result;
}

/** Messages of one COPY when a mailbox is made. */
const mostCopied = 10_000;

/** Not timed in any row: makes a mailbox with messages 0 to count - 1. */
export async function imapFill(task: TaskOf<'imap-fill'>, begin: Begin): Promise<Done> {
  const make = messageMaker(task.bytes);
  const first = await ImapConnection.login(task.login);
  await first.send(`CREATE ${task.mailbox}`);
  let capabilities = '';
  first.onChunk = (chunk) => (capabilities += chunk.toString('latin1'));
  await first.command('CAPABILITY');
  first.onChunk = null;
  // RFC 3502, and few commits; who lacks it gets many connections.
  const perCommand = capabilities.includes('MULTIAPPEND')
    ? Math.max(1, Math.min(500, Math.floor(4e6 / task.bytes)))
    : 1;
  await begin();
  const startedAt = performance.now();
  let next = 0;
  const lane = async (connection: ImapConnection): Promise<void> => {
    while (next < task.distinct) {
      const from = next;
      next = Math.min(task.distinct, next + perCommand);
      await connection.append(
        task.mailbox,
        Array.from({ length: next - from }, (_, i) => make(from + i)),
      );
    }
    if (connection !== first) await connection.logout();
  };
  const more = perCommand > 1 ? 0 : Math.min(task.connections, task.distinct) - 1;
  const others = await Promise.all(Array.from({ length: more }, () => ImapConnection.login(task.login)));
  await Promise.all([first, ...others].map(lane));
  await first.command(`SELECT ${task.mailbox}`);
  for (let has = task.distinct; has < task.count;) {
    const copied = Math.min(has, task.count - has, mostCopied);
    await first.command(`COPY 1:${copied} ${task.mailbox}`);
    has += copied;
  }
  await first.logout();
  return { count: task.count, seconds: (performance.now() - startedAt) / 1000, bytes: task.count * task.bytes };
}

const held: ImapConnection[] = [];

/** Logs in, selects INBOX and idles, and stays so until `imap-release`. */
export async function imapHold(task: TaskOf<'imap-hold'>, begin: Begin): Promise<Done> {
  await begin();
  const startedAt = performance.now();
  let next = 0;
  const lane = async (): Promise<void> => {
    for (let login = task.logins[next++]; login !== undefined; login = task.logins[next++]) {
      const connection = await ImapConnection.login(login);
      held.push(connection);
      await connection.command('SELECT INBOX');
      const idling = connection.wait((text) => text.includes('+ '));
      connection.write('IDLE0 IDLE\r\n');
      await idling;
    }
  };
  await Promise.all(Array.from({ length: 20 }, lane));
  return { count: held.length, seconds: (performance.now() - startedAt) / 1000, bytes: 0 };
}

export function imapRelease(): Done {
  const count = held.length;
  for (const connection of held.splice(0)) connection.close();
  return { count, seconds: 0, bytes: 0 };
}

/** From the end of what was sent (the final dot, the end of the literal) to EXISTS at the one that idles. */
export async function idleLatency(
  task: TaskOf<'idle-latency'>,
  begin: Begin,
  smtp: (message: Buffer) => Promise<void>,
): Promise<Done> {
  const make = messageMaker(4096);
  const idler = await ImapConnection.login(task.idle);
  await idler.command('SELECT INBOX');
  const ready = idler.wait((text) => text.includes('+ '));
  idler.write('IDLE0 IDLE\r\n');
  await ready;
  const sender = task.deliver.by === 'append' ? await ImapConnection.login(task.deliver) : null;
  const deliver = (message: Buffer): Promise<unknown> => sender?.append('INBOX', [message]) ?? smtp(message);
  const start = uniqueStart();
  await begin();
  const startedAt = performance.now();
  const milliseconds: number[] = [];
  for (let i = 0; i < task.count; i++) {
    const told = idler.wait((text) => text.includes(' EXISTS'));
    const sentAt = performance.now();
    const delivered = deliver(make(start + i));
    await told;
    milliseconds.push(performance.now() - sentAt);
    await delivered;
    await sleep(20);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  idler.close();
  await sender?.logout();
  milliseconds.sort((a, b) => a - b);
  return {
    count: task.count,
    seconds,
    bytes: 0,
    also: { 'p50 ms': percentile(milliseconds, 50), 'p99 ms': percentile(milliseconds, 99) },
  };
}

/** Runs `work` in so many lanes until the time is over; the clock stops when the last one is done. */
async function timed(
  lanes: number,
  forSeconds: number,
  begin: Begin,
  work: (n: number, lane: number) => Promise<void>,
  bytes: () => number = () => 0,
): Promise<Done> {
  await begin();
  const startedAt = performance.now();
  const endsAt = startedAt + forSeconds * 1000;
  let count = 0;
  const run = async (lane: number): Promise<void> => {
    while (performance.now() < endsAt) await work(count++, lane);
  };
  await Promise.all(Array.from({ length: lanes }, (_, lane) => run(lane)));
  return { count, seconds: (performance.now() - startedAt) / 1000, bytes: bytes() };
}

let started = 0;

/** A number of messages that no earlier task of this process has used, so that no two have the same bytes. */
export function uniqueStart(): number {
  started += 1;
  return started * 10_000_000 + 1;
}

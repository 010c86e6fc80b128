/** Large mailboxes and long histories, made as fast as the server can: not timed themselves. */
import { ImapConnection } from './imap-connection.ts';
import { messageMaker } from './messages.ts';
import { SmtpConnection } from './smtp-load.ts';
import type { Begin, Outcome, Task } from './tasks.ts';

type TaskOf<K extends Task['kind']> = Extract<Task, { kind: K }>;
type Done = Omit<Outcome, 'cpuSeconds'>;

/** Messages of one COPY. */
const mostCopied = 10_000;

/**
 * Makes a mailbox with messages 0 to count - 1, delivered over SMTP, where many share a commit, and moved there from an
 * INBOX. They come in an order that is nearly theirs.
 */
export async function smtpFill(task: TaskOf<'smtp-fill'>, begin: Begin): Promise<Done> {
  const make = messageMaker(task.bytes);
  const connection = await ImapConnection.login(task.login);
  const before = await existing(connection, 'INBOX');
  await begin();
  const startedAt = performance.now();
  let next = 0;
  const session = async (): Promise<void> => {
    const sender = await SmtpConnection.open(task.smtpPort);
    for (let n = next++; n < task.count; n = next++) await sender.deliver([task.recipient], make(n));
    await sender.quit();
  };
  await Promise.all(Array.from({ length: task.sessions }, session));
  if (task.mailbox !== 'INBOX') {
    await connection.send(`CREATE ${task.mailbox}`);
    const delivered = (await existing(connection, 'INBOX')) - before;
    for (let left = delivered; left > 0; left -= mostCopied) {
      await connection.command(`MOVE ${before + 1}:${before + Math.min(left, mostCopied)} ${task.mailbox}`);
    }
    const found = await existing(connection, task.mailbox);
    if (found !== task.count) throw new Error(`${task.mailbox} has ${found} messages, not ${task.count}`);
  }
  await connection.logout();
  return { count: task.count, seconds: (performance.now() - startedAt) / 1000, bytes: task.count * task.bytes };
}

/** Copies the messages of one mailbox into another, again and again, until that one has so many. */
export async function imapCopies(task: TaskOf<'imap-copies'>, begin: Begin): Promise<Done> {
  const connection = await ImapConnection.login(task.login);
  await connection.send(`CREATE ${task.to}`);
  await begin();
  const startedAt = performance.now();
  let has = await existing(connection, task.to);
  const source = await existing(connection, task.from);
  for (let at = 1; has < task.count; at = at + mostCopied > source ? 1 : at + mostCopied) {
    const last = Math.min(source, at + mostCopied - 1, at + task.count - has - 1);
    await connection.command(`COPY ${at}:${last} ${task.to}`);
    has += last - at + 1;
  }
  await connection.logout();
  return { count: task.count, seconds: (performance.now() - startedAt) / 1000, bytes: 0 };
}

/** Selects the mailbox and gives its number of messages. */
async function existing(connection: ImapConnection, mailbox: string): Promise<number> {
  let heard = '';
  connection.onChunk = (chunk) => (heard += chunk.toString('latin1'));
  await connection.command(`SELECT ${mailbox}`);
  connection.onChunk = null;
  return Number(/^\* (\d+) EXISTS/m.exec(heard)?.[1] ?? 0);
}

/** STOREs of a whole mailbox between two moves of it. */
const storesACycle = 8;

/**
 * Changes every message of a mailbox over and over, by STORE, MOVE there and back, and EXPUNGE of copies, until so many
 * messages were changed or the time is over. The mailbox has as many messages in the end as it had.
 */
export async function imapChanges(task: TaskOf<'imap-changes'>, begin: Begin): Promise<Done> {
  const connection = await ImapConnection.login(task.login);
  const [other, gone] = [`${task.mailbox}-other`, `${task.mailbox}-gone`];
  for (const name of [other, gone]) await connection.send(`CREATE ${name}`);
  const size = await existing(connection, task.mailbox);
  const done = { stored: 0, moved: 0, expunged: 0 };
  const total = (): number => done.stored + done.moved + done.expunged;
  await begin();
  const startedAt = performance.now();
  while (total() < task.changes && performance.now() - startedAt < task.seconds * 1000) {
    for (let n = 0; n < storesACycle; n++) {
      await connection.command(`STORE 1:* ${n % 2 === 0 ? '+' : '-'}FLAGS.SILENT (\\Flagged)`);
      done.stored += size;
    }
    for (const [from, to] of [
      [task.mailbox, other],
      [other, task.mailbox],
    ] as const) {
      await connection.command(`SELECT ${from}`);
      await connection.command(`MOVE 1:* ${to}`);
      done.moved += size;
    }
    await connection.command(`SELECT ${task.mailbox}`);
    await connection.command(`COPY 1:* ${gone}`);
    await connection.command(`SELECT ${gone}`);
    await connection.command('STORE 1:* +FLAGS.SILENT (\\Deleted)');
    await connection.command('EXPUNGE');
    done.stored += size;
    done.expunged += size;
    await connection.command(`SELECT ${task.mailbox}`);
  }
  const seconds = (performance.now() - startedAt) / 1000;
  await connection.logout();
  return { count: total(), seconds, bytes: 0, also: done };
}

/** A load like that of a day, the same from the first minute to the last: senders, and people who come, read and go. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ImapConnection } from './imap-connection.ts';
import { uniqueStart } from './imap-load.ts';
import { messageMaker } from './messages.ts';
import { SmtpConnection } from './smtp-load.ts';
import type { Begin, Login, Outcome, Task } from './tasks.ts';

const senders = 4;
const deliveriesAConnection = 50;
const deliveryPauseMs = 20;
const idleMs = 300;
/** Messages that a person keeps: more are expunged, so that the mailboxes stay as large as they are. */
const kept = 100;

export async function mixedLoad(
  task: Extract<Task, { kind: 'mixed' }>,
  begin: Begin,
): Promise<Omit<Outcome, 'cpuSeconds'>> {
  const makers = [messageMaker(4096), messageMaker(50 * 1024)];
  const start = uniqueStart();
  let delivered = 0;
  let visits = 0;
  await begin();
  const startedAt = performance.now();
  const isOver = (): boolean => performance.now() - startedAt >= task.seconds * 1000;
  const send = async (): Promise<void> => {
    while (!isOver()) {
      const connection = await SmtpConnection.open(task.smtpPort);
      for (let n = 0; n < deliveriesAConnection && !isOver(); n++) {
        const number = delivered++;
        const make = makers[number % 8 === 0 ? 1 : 0] as (n: number) => Buffer;
        await connection.deliver([task.recipients[number % task.recipients.length] as string], make(start + number));
        await sleep(deliveryPauseMs);
      }
      await connection.quit();
    }
  };
  const person = async (login: Login): Promise<void> => {
    for (let n = 0; !isOver(); n++) {
      await visit(login, n);
      visits += 1;
    }
  };
  await Promise.all([...Array.from({ length: senders }, send), ...task.logins.map(person)]);
  const seconds = (performance.now() - startedAt) / 1000;
  return { count: delivered + visits, seconds, bytes: 0, also: { delivered, visits } };
}

async function visit(login: Login, n: number): Promise<void> {
  const connection = await ImapConnection.login(login);
  let heard = '';
  connection.onChunk = (chunk) => (heard += chunk.toString('latin1'));
  await connection.command('SELECT INBOX');
  connection.onChunk = null;
  const messages = Number(/^\* (\d+) EXISTS/m.exec(heard)?.[1] ?? 0);
  if (messages > 0) {
    await connection.command(`FETCH ${Math.max(1, messages - 49)}:${messages} (UID FLAGS ENVELOPE)`);
    await connection.command(`FETCH ${messages} BODY[]`);
    await connection.command(`STORE ${messages} +FLAGS (\\Flagged)`);
  }
  if (messages > kept) {
    await connection.command(`STORE 1:${messages - kept} +FLAGS.SILENT (\\Deleted)`);
    await connection.command('EXPUNGE');
  }
  const idling = connection.wait((text) => text.includes('+ '));
  connection.write('IDLE0 IDLE\r\n');
  await idling;
  await sleep(idleMs);
  // Every second one is gone without a word, as a phone in a tunnel.
  if (n % 2 === 0) {
    connection.write('DONE\r\n');
    await connection.logout();
  } else connection.close();
}

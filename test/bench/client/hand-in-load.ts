/** Hands in mail of a user for other systems, and waits until it is there. */
import { messageMaker } from './messages.ts';
import { uniqueStart } from './imap-load.ts';
import { SmtpConnection } from './smtp-load.ts';
import type { SinksCount } from '../servers/sinks.ts';
import type { Begin, Task, TaskOutcome } from './tasks.ts';

export async function handInLoad(task: Extract<Task, { kind: 'hand-in' }>, begin: Begin): Promise<TaskOutcome> {
  const { port, login, sender, recipients, messages, sinks } = task;
  const make = messageMaker(task.bytes);
  const start = uniqueStart();
  let next = 0;
  const session = async (connection: SmtpConnection): Promise<void> => {
    for (let n = next++; n < messages; n = next++) {
      const recipient = recipients[n % recipients.length] as string;
      await connection.deliver([recipient], authoredBy(sender, make(start + n)), sender);
    }
    await connection.quit();
  };
  const open = await Promise.all(
    Array.from({ length: task.sessions }, () => SmtpConnection.open(port, { tls: true, login })),
  );
  await ask(sinks.controlPort, '/reset');
  await begin();
  const startedAt = performance.now();
  await Promise.all(open.map(session));
  const handedIn = performance.now();
  const came = (await ask(sinks.controlPort, `/wait?messages=${sinks.expect}`)) as SinksCount;
  const seconds = (performance.now() - startedAt) / 1000;
  if (came.messages !== sinks.expect) throw new Error(`${came.messages} of ${sinks.expect} messages came`);
  if (came.unsigned > 0) throw new Error(`${came.unsigned} messages came without a signature`);
  return {
    count: sinks.expect,
    seconds,
    bytes: sinks.expect * task.bytes,
    helperCpuSeconds: came.cpuSeconds,
    also: {
      'accepted /s': messages / ((handedIn - startedAt) / 1000),
      'connections to the sinks': came.connections,
      'CPU s of the sinks': came.cpuSeconds,
    },
  };
}

async function ask(controlPort: number, path: string): Promise<unknown> {
  const response = await fetch(`http://127.0.0.1:${controlPort}${path}`);
  return response.json();
}

/** Its first line is From. */
function authoredBy(sender: string, message: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`From: <${sender}>`), message.subarray(message.indexOf('\r\n'))]);
}

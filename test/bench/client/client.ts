/** The client process: takes one task at a time from the runner and answers with its figures. */
import process from 'node:process';
import {
  idleLatency,
  imapAppend,
  imapFill,
  imapHold,
  imapLogins,
  imapRelease,
  imapScript,
  imapStore,
} from './imap-load.ts';
import { besideSearch } from './beside-load.ts';
import { imapChanges, imapCopies, smtpFill } from './growth-load.ts';
import { handInLoad } from './hand-in-load.ts';
import { mixedLoad } from './mixed-load.ts';
import { fdatasyncLoad, postgresInsert, postgresRead } from './limit-load.ts';
import { SmtpConnection, smtpLoad } from './smtp-load.ts';
import { loginStorm } from './storm-load.ts';
import { unreachable } from '#shared/base/unreachable.ts';
import type { Begin, FromClient, Task, TaskOutcome, ToClient } from './tasks.ts';

let go: (() => void) | null = null;

process.on('message', (message: ToClient) => {
  if ('go' in message) go?.();
  else void serve(message.run);
});
process.on('disconnect', () => {
  process.kill(process.pid, 'SIGTERM'); // The runner is gone: connections may still be open.
});

function tell(message: FromClient): void {
  process.send?.(message);
}

async function serve(task: Task): Promise<void> {
  let cpu = process.cpuUsage();
  const begin: Begin = async () => {
    const started = new Promise<void>((resolve) => (go = resolve));
    tell({ begin: true });
    await started;
    cpu = process.cpuUsage();
  };
  try {
    const { helperCpuSeconds = 0, ...done } = await run(task, begin);
    const { user, system } = process.cpuUsage(cpu);
    tell({ outcome: { ...done, cpuSeconds: (user + system) / 1e6 + helperCpuSeconds } });
  } catch (error) {
    tell({ failure: error instanceof Error ? (error.stack ?? error.message) : String(error) });
  }
}

async function run(task: Task, begin: Begin): Promise<TaskOutcome> {
  switch (task.kind) {
    case 'smtp':
      return smtpLoad(task, begin);
    case 'hand-in':
      return handInLoad(task, begin);
    case 'imap-script':
      return imapScript(task, begin);
    case 'imap-logins':
      return imapLogins(task, begin);
    case 'imap-append':
      return imapAppend(task, begin);
    case 'imap-store':
      return imapStore(task, begin);
    case 'imap-fill':
      return imapFill(task, begin);
    case 'imap-hold':
      return imapHold(task, begin);
    case 'imap-release':
      return imapRelease();
    case 'idle-latency': {
      const { by, port, recipient } = task.deliver;
      const smtp = by === 'smtp' ? await SmtpConnection.open(port) : null;
      const done = await idleLatency(task, begin, async (message) => {
        await smtp?.deliver([recipient], message);
      });
      await smtp?.quit();
      return done;
    }
    case 'login-storm':
      return loginStorm(task, begin);
    case 'smtp-fill':
      return smtpFill(task, begin);
    case 'imap-copies':
      return imapCopies(task, begin);
    case 'imap-changes':
      return imapChanges(task, begin);
    case 'beside-search':
      return besideSearch(task, begin);
    case 'mixed':
      return mixedLoad(task, begin);
    case 'postgres-insert':
      return postgresInsert(task, begin);
    case 'postgres-read':
      return postgresRead(task, begin);
    case 'fdatasync':
      return fdatasyncLoad(task, begin);
    default:
      return unreachable(task);
  }
}

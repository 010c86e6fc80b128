/** How a process ends: the signals that ask for it, and the errors that force it. */
import process from 'node:process';
import type { Logger } from '#shared/observe/logger.ts';

/**
 * Resolves with the name of the first SIGTERM or SIGINT. After it, from a second one on, a signal ends the process
 * at once, as if we had never listened.
 */
export function firstStopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    const signals = ['SIGTERM', 'SIGINT'] as const;
    const heard = (signal: NodeJS.Signals): void => {
      for (const name of signals) process.off(name, heard);
      resolve(signal);
    };
    for (const name of signals) process.on(name, heard);
  });
}

/** After `firstStopSignal`: does `last` when the next one comes, which then ends the process all the same. */
export function onSecondSignal(last: () => void): void {
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.once(name, () => {
      last();
      process.removeAllListeners(name);
      process.kill(process.pid, name);
    });
  }
}

/**
 * A promise nobody handled, an error nobody caught: the state of the program is unknown, so it is logged and the
 * process ends with exit code 1. Whoever runs it starts it again; what was answered is committed.
 */
export function endOnUnexpectedErrors(logger: Logger): void {
  const crash = (kind: string) => (reason: unknown) => {
    const err = reason instanceof Error ? reason : new Error(`not an Error: ${String(reason)}`);
    logger.fatal({ event: 'server.crashed', kind, err }, 'unexpected error; ending');
    endNow('unexpected error; the log has it');
  };
  process.on('uncaughtException', crash('uncaughtException'));
  process.on('unhandledRejection', crash('unhandledRejection'));
}

/**
 * In `afterMs` nothing should keep the process; where something does, it is named in the log and not waited for. It
 * does not keep the process itself.
 */
export function endSoon(logger: Logger, afterMs: number): void {
  const timer = setTimeout(() => {
    logger.error(
      { event: 'server.lingering', open: process.getActiveResourcesInfo() },
      'something is still open; ending',
    );
    endNow('something was still open after the stop');
  }, afterMs);
  timer.unref();
}

/** Ends the process with exit code 1 through Node's own way of dying, which needs no `process.exit`. */
function endNow(reason: string): void {
  process.removeAllListeners('uncaughtException');
  process.removeAllListeners('unhandledRejection');
  setImmediate(() => {
    const error = new Error(`postrider: ${reason}`);
    error.stack = error.message;
    throw error;
  });
}

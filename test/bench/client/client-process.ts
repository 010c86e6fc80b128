/** The runner's handle on the client process. */
import { fork, type ChildProcess } from 'node:child_process';
import type { FromClient, Outcome, Task, ToClient } from './tasks.ts';

/** No task takes longer, but those that say so. */
const defaultDeadlineMs = 240_000;

export class ClientProcess implements AsyncDisposable {
  #child: ChildProcess;
  #isEnding = false;

  constructor() {
    this.#child = start();
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /**
   * `begin` runs between the untimed and the timed part. Rejects with what the client says went wrong. A client that
   * ended, or is not done in time, is replaced: the next task has a new one.
   */
  async run(
    task: Task,
    begin: () => Promise<void> = () => Promise.resolve(),
    deadlineMs: number = defaultDeadlineMs,
  ): Promise<Outcome> {
    if (this.#isEnding) throw new Error('the client process has ended');
    if (!this.#child.connected) this.#child = start();
    const child = this.#child;
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
    const hear = (message: FromClient): void => {
      if ('begin' in message) begin().then(() => tell(child, { go: true }), reject);
      else if ('outcome' in message) resolve(message.outcome);
      else reject(new Error(message.failure));
    };
    const gone = (): void => reject(new Error('the client process ended'));
    const timer = setTimeout(() => {
      reject(new Error(`${task.kind} took longer than ${deadlineMs / 1000} s`));
      child.kill('SIGKILL');
    }, deadlineMs);
    child.on('message', hear);
    child.once('exit', gone);
    tell(child, { run: task });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      child.off('message', hear);
      child.off('exit', gone);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnding = true;
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  }
}

function start(): ChildProcess {
  // In a group of its own: Ctrl-C is for the runner, which stops everything in order.
  const child = fork(new URL('client.ts', import.meta.url), [], { detached: true });
  // It may end while something is sent to it; whoever waits hears of the end.
  child.on('error', () => undefined);
  return child;
}

function tell(child: ChildProcess, message: ToClient): void {
  child.send(message);
}

/** The runner's handle on the client process. */
import { fork, type ChildProcess } from 'node:child_process';
import type { FromClient, Outcome, Task, ToClient } from './tasks.ts';

export class ClientProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;

  constructor() {
    // In a group of its own: Ctrl-C is for the runner, which stops everything in order.
    this.#child = fork(new URL('client.ts', import.meta.url), [], { detached: true });
    // It may end while something is sent to it; whoever waits hears of the end.
    this.#child.on('error', () => undefined);
    this.#ended = new Promise((resolve) => this.#child.once('exit', () => resolve()));
  }

  get pid(): number {
    return this.#child.pid as number;
  }

  /** `begin` runs between the untimed and the timed part. Rejects with what the client says went wrong. */
  async run(task: Task, begin: () => void = () => undefined): Promise<Outcome> {
    if (!this.#child.connected) throw new Error('the client process has ended');
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
    const hear = (message: FromClient): void => {
      if ('begin' in message) {
        begin();
        this.#tell({ go: true });
      } else if ('outcome' in message) resolve(message.outcome);
      else reject(new Error(message.failure));
    };
    const gone = (): void => reject(new Error('the client process ended'));
    this.#child.on('message', hear);
    this.#child.once('exit', gone);
    this.#tell({ run: task });
    try {
      return await promise;
    } finally {
      this.#child.off('message', hear);
      this.#child.off('exit', gone);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null) this.#child.kill('SIGTERM');
    await this.#ended;
  }

  #tell(message: ToClient): void {
    this.#child.send(message);
  }
}

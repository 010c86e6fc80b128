/** The runner's handle on a Postgres that is further away: a process of its own, so that it takes no time of the client's. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';

export class DelayProxy implements AsyncDisposable {
  readonly #child: ChildProcess;
  /** The same database, so far away. */
  readonly url: string;

  private constructor(child: ChildProcess, url: string) {
    this.#child = child;
    this.url = url;
  }

  /** `delayMs` each way. */
  static async start(databaseUrl: string, delayMs: number): Promise<DelayProxy> {
    const url = new URL(databaseUrl);
    const host = url.searchParams.get('host') ?? url.hostname;
    const program = new URL('delay-proxy-program.ts', import.meta.url);
    const child = fork(program, [host, url.port || '5432', String(delayMs)], { detached: true });
    const [{ port }] = (await once(child, 'message')) as [{ port: number }];
    url.searchParams.delete('host');
    url.host = `127.0.0.1:${port}`;
    return new DelayProxy(child, url.toString());
  }

  /** Since it began. */
  async roundTrips(): Promise<number> {
    const heard = once(this.#child, 'message');
    this.#child.send({});
    const [{ roundTrips }] = (await heard) as [{ roundTrips: number }];
    return roundTrips;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }
}

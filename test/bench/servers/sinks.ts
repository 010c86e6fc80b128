/** The runner's handle on the mail hosts that mail goes out to. */
import { fork, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Certificate } from './certificate.ts';

export const sinkCount = 50;
/** Takes its time before it answers to a message. */
export const slowSink = 49;
/** Takes connections, and never says a word. */
export const deadSink = 50;
export const sinkDomainEnd = '.sink.test';

export type SinksCount = {
  readonly messages: number;
  readonly unsigned: number;
  readonly connections: number;
  readonly cpuSeconds: number;
};

export type SinkPorts = {
  /** The same at every address. */
  readonly port: number;
  readonly dnsPort: number;
  readonly controlPort: number;
};

export class Sinks implements AsyncDisposable {
  readonly ports: SinkPorts;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, ports: SinkPorts) {
    this.#child = child;
    this.ports = ports;
  }

  static async start({ certificateFile, keyFile }: Certificate): Promise<Sinks> {
    const env = { ...process.env, SINK_CERT: certificateFile, SINK_KEY: keyFile };
    const child = fork(new URL('sinks-program.ts', import.meta.url), [], { detached: true, env });
    const ended = once(child, 'exit').then(() => {
      throw new Error('the sinks do not start');
    });
    const [ports] = (await Promise.race([once(child, 'message'), ended])) as [SinkPorts];
    ended.catch(() => undefined);
    return new Sinks(child, ports);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await ended;
  }
}

export function sinkDomain(at: number): string {
  return `d${at}${sinkDomainEnd}`;
}

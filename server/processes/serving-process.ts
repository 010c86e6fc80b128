/** One process that serves, as its supervisor sees it: started, asked, told to stop, and in the end gone. */
import cluster, { type Worker } from 'node:cluster';
import type { PackedConfig } from './packed-config.ts';
import type { FromProcess, MetricSnapshot, ToldFault, ToProcess } from './messages.ts';

export type Ports = readonly (readonly [name: string, port: number])[];

export type ServingProcessEvents = {
  readonly ready: (ports: Ports) => void;
  /** Code or signal of its end. */
  readonly gone: (how: string, fault: ToldFault | null) => void;
};

export class ServingProcess {
  readonly number: number;
  readonly #worker: Worker;
  readonly #gone: Promise<void>;
  #isReady = false;
  #fault: ToldFault | null = null;
  #metrics: MetricSnapshot = [];
  #waiting: (() => void)[] = [];
  /** Since when a question has no answer. */
  #askedAt: number | null = null;

  constructor(number: number, config: PackedConfig, events: ServingProcessEvents) {
    this.number = number;
    this.#worker = cluster.fork();
    this.#worker.on('message', (message: FromProcess) => this.#hear(message, events));
    // What can't be sent, because it is gone: its end is heard of below.
    this.#worker.on('error', () => undefined);
    this.#gone = new Promise((resolve) => {
      this.#worker.once('exit', (code, signal) => {
        this.#isReady = false;
        this.#wake();
        resolve();
        events.gone(signal ?? `exit code ${code}`, this.#fault);
      });
    });
    this.#send({ kind: 'start', number, config });
  }

  get pid(): number {
    return this.#worker.process.pid ?? 0;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  /** The figures that were told last. */
  get metrics(): MetricSnapshot {
    return this.#metrics;
  }

  /** How long a question has had no answer, in ms; 0 where none is open. */
  get silentMs(): number {
    return this.#askedAt === null ? 0 : performance.now() - this.#askedAt;
  }

  /** Asks for fresh figures; resolves when they are there, after `timeoutMs`, or when it is gone. */
  async ask(timeoutMs: number): Promise<void> {
    if (!this.#isReady) return;
    this.#askedAt ??= performance.now();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#waiting.push(() => {
        clearTimeout(timer);
        resolve();
      });
      this.#send({ kind: 'report' });
    });
  }

  /** Finishes its running work within `graceMs`; killed when it takes longer. */
  async stop(graceMs: number): Promise<void> {
    this.#send({ kind: 'stop', graceMs });
    const timer = setTimeout(() => this.kill(), graceMs);
    await this.#gone;
    clearTimeout(timer);
  }

  kill(): void {
    this.#worker.process.kill('SIGKILL');
  }

  #send(message: ToProcess): void {
    if (this.#worker.isConnected()) this.#worker.send(message);
  }

  #hear(message: FromProcess, events: ServingProcessEvents): void {
    switch (message.kind) {
      case 'ready':
        this.#isReady = true;
        events.ready(message.ports);
        return;
      case 'fault':
        this.#fault = message.fault;
        return;
      case 'report':
      case 'stopped':
        this.#metrics = message.metrics;
        this.#askedAt = null;
        this.#wake();
    }
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }
}

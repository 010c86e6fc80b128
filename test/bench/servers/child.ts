/** Child processes that are servers: started in a group of their own, heard in a log, stopped in order. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { openSync, closeSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const stopTimeoutMs = 20_000;
const startTimeoutMs = 60_000;

/** Stopped even when the runner breaks: they would live on in their groups. */
const living = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of living) child.kill('SIGTERM');
});

export type Program = {
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly logFile: string;
};

export class Child {
  readonly #process: ChildProcess;
  readonly #logFile: string;

  /** Output goes into the log file; Ctrl-C at the terminal does not reach it. */
  constructor(program: Program) {
    const log = openSync(program.logFile, 'a');
    this.#process = spawn(program.file, program.args, {
      env: { ...process.env, ...program.env },
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    const child = this.#process;
    living.add(child);
    child.once('exit', () => living.delete(child));
    this.#logFile = program.logFile;
  }

  get pid(): number {
    return this.#process.pid as number;
  }

  get isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  signal(name: NodeJS.Signals): void {
    this.#process.kill(name);
  }

  /** Resolves when `isReady`; throws with the end of the log when the program ends or takes too long. */
  async ready(isReady: () => Promise<boolean>): Promise<void> {
    for (const deadline = performance.now() + startTimeoutMs; !(await isReady()); await sleep(50)) {
      if (this.#process.exitCode !== null || performance.now() > deadline) {
        throw new Error(`it does not start:\n${readFileSync(this.#logFile, 'utf8').slice(-2000)}`);
      }
    }
  }

  async stop(): Promise<void> {
    if (!this.isRunning) return;
    const ended = once(this.#process, 'exit');
    this.#process.kill('SIGTERM');
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), stopTimeoutMs);
    await ended;
    clearTimeout(timer);
  }
}

export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

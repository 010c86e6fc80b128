/** What rows work with: the client process, the servers that run, and the clock around a timed piece of work. */
import type { ClientProcess } from './client/client-process.ts';
import type { Outcome, Task } from './client/tasks.ts';
import { busySeconds, cpuSecondsOf, ownCpuSeconds, pssMiBOf } from './proc.ts';
import type { Sample } from './results.ts';
import { loginOf, type MailServer, type ServerName } from './servers/mail-server.ts';

const pssEveryMs = 2000;

export type Timed = Omit<Sample, 'value' | 'also'> & { readonly outcome: Outcome };

export class Bench {
  readonly client: ClientProcess;
  readonly servers: ReadonlyMap<ServerName, MailServer>;
  readonly folder: string;
  readonly isQuick: boolean;
  /** During warm-ups and what is only looked at. */
  isBrief = false;
  readonly #filled = new Map<string, Promise<void>>();

  constructor(o: {
    client: ClientProcess;
    servers: ReadonlyMap<ServerName, MailServer>;
    folder: string;
    isQuick: boolean;
  }) {
    this.client = o.client;
    this.servers = o.servers;
    this.folder = o.folder;
    this.isQuick = o.isQuick;
  }

  /** Of mailboxes: the first for a whole run, the second for a quick look. */
  size(full: number, quick: number): number {
    return this.isQuick ? quick : full;
  }

  /** How long a load goes on: as `size`, but short while it is not the figures of the table that are taken. */
  seconds(full: number, quick: number): number {
    return this.isQuick || this.isBrief ? quick : full;
  }

  /** Runs a task; figures are those of its timed part, and with `settle` go on until every message is in a mailbox. */
  async timed(
    server: MailServer,
    task: Task,
    options: { readonly settle?: (outcome: Outcome) => number } = {},
  ): Promise<Timed> {
    const roots = server.roots();
    const before = { at: 0, cpu: 0, own: 0, busy: 0 };
    let peak = 0;
    const look = (): void => {
      peak = Math.max(peak, pssMiBOf(roots));
    };
    const timer = setInterval(look, pssEveryMs);
    try {
      if (options.settle) await server.mark();
      const outcome = await this.client.run(task, () => {
        before.cpu = cpuSecondsOf(roots);
        before.own = ownCpu(roots);
        before.busy = busySeconds();
        before.at = performance.now();
      });
      if (options.settle) await server.settled(options.settle(outcome));
      const elapsed = (performance.now() - before.at) / 1000;
      const serverCpu = cpuSecondsOf(roots) - before.cpu;
      const foreign = (busySeconds() - before.busy - serverCpu - outcome.cpuSeconds) / elapsed;
      look();
      return {
        outcome,
        seconds: options.settle ? elapsed : outcome.seconds,
        serverCpu,
        programCpu: ownCpu(roots) - before.own,
        clientCpu: outcome.cpuSeconds,
        peakPssMiB: peak,
        foreignCores: Math.max(0, foreign),
      };
    } finally {
      clearInterval(timer);
    }
  }

  /** A mailbox with messages 0 to count - 1 of this size, made once. */
  fill(
    server: MailServer,
    user: string,
    mailbox: { name: string; count: number; bytes: number; distinct?: number },
  ): Promise<void> {
    const key = `${server.name} ${user} ${mailbox.name}`;
    const filling =
      this.#filled.get(key) ??
      this.client
        .run({
          kind: 'imap-fill',
          login: loginOf(server, user),
          mailbox: mailbox.name,
          count: mailbox.count,
          bytes: mailbox.bytes,
          distinct: mailbox.distinct ?? mailbox.count,
          connections: 50,
        })
        .then(() => undefined);
    this.#filled.set(key, filling);
    return filling;
  }
}

function ownCpu(roots: readonly number[]): number {
  return roots.reduce((sum, pid) => sum + ownCpuSeconds(pid), 0);
}

/** The sample of a timed piece of work. */
export function sampleOf(
  { outcome, ...figures }: Timed,
  value: number,
  also?: Readonly<Record<string, number>>,
): Sample {
  const more = { ...outcome.also, ...also };
  return { ...figures, value, ...(Object.keys(more).length > 0 && { also: more }) };
}

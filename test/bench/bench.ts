/** What rows work with: the client process, the servers that run, and the clock around a timed piece of work. */
import type { ClientProcess } from './client/client-process.ts';
import type { Outcome, Task } from './client/tasks.ts';
import { busySeconds, cpuSecondsOf, ownCpuSeconds, pssMiBOf, residentMiB, resetPeak } from './proc.ts';
import type { Sample } from './results.ts';
import { addressOf, loginOf, type MailServer, type ServerName } from './servers/mail-server.ts';

const pssEveryMs = 2000;
const mostAppended = 500;
/** A hundred thousand messages, on a slow disk. */
const fillDeadlineMs = 600_000;

/** Names of figures in `Sample.also`. */
const memoryMore = 'MiB more';
export const roundTripsEach = 'round trips each';

export type Timed = Omit<Sample, 'value' | 'also'> & {
  readonly outcome: Outcome;
  /** By which the program's memory grew at most. */
  readonly moreMiB: number;
  /** Round trips to the database; null where they are not counted. */
  readonly roundTrips: number | null;
};

export class Bench implements AsyncDisposable {
  readonly client: ClientProcess;
  readonly servers: ReadonlyMap<ServerName, MailServer>;
  readonly folder: string;
  readonly isQuick: boolean;
  /** During warm-ups and what is only looked at. */
  isBrief = false;
  readonly #done = new Map<string, Promise<unknown>>();
  readonly #owned = new AsyncDisposableStack();

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
    options: { readonly settle?: (outcome: Outcome) => number; readonly deadlineMs?: number } = {},
  ): Promise<Timed> {
    const roots = server.roots();
    const before = { at: 0, cpu: 0, own: 0, busy: 0, memory: 0, roundTrips: 0 };
    let peak = 0;
    const look = (): void => {
      peak = Math.max(peak, pssMiBOf(roots));
    };
    const timer = setInterval(look, pssEveryMs);
    try {
      if (options.settle) await server.mark();
      const outcome = await this.client.run(
        task,
        async () => {
          before.roundTrips = (await server.roundTrips?.()) ?? 0;
          for (const pid of roots) resetPeak(pid);
          before.memory = programMiB(roots).now;
          before.cpu = cpuSecondsOf(roots);
          before.own = ownCpu(roots);
          before.busy = busySeconds();
          before.at = performance.now();
        },
        options.deadlineMs,
      );
      if (options.settle) await server.settled(options.settle(outcome));
      const elapsed = (performance.now() - before.at) / 1000;
      const serverCpu = cpuSecondsOf(roots) - before.cpu;
      const foreign = (busySeconds() - before.busy - serverCpu - outcome.cpuSeconds) / elapsed;
      look();
      const { peak: programPeak } = programMiB(roots);
      const roundTrips = (await server.roundTrips?.()) ?? null;
      return {
        outcome,
        moreMiB: programPeak - before.memory,
        roundTrips: roundTrips === null ? null : roundTrips - before.roundTrips,
        seconds: options.settle ? elapsed : outcome.seconds,
        serverCpu,
        programCpu: ownCpu(roots) - before.own,
        clientCpu: outcome.cpuSeconds,
        peakPssMiB: peak,
        peakProgramMiB: programPeak,
        foreignCores: Math.max(0, foreign),
      };
    } finally {
      clearInterval(timer);
    }
  }

  /** Work that is done once, under a name, for a server and its mailboxes, or (null) for the machine. */
  once<T>(server: MailServer | null, name: string, work: () => Promise<T>): Promise<T> {
    const key = `${server?.sharesMailboxesOf ?? server?.name ?? 'machine'} ${name}`;
    const done = (this.#done.get(key) as Promise<T> | undefined) ?? work();
    this.#done.set(key, done);
    return done;
  }

  /** Ends with the servers, before them. */
  own(disposable: AsyncDisposable): void {
    this.#owned.use(disposable);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }

  /** A mailbox with messages 0 to count - 1 of this size, made once. */
  fill(
    server: MailServer,
    user: string,
    mailbox: { name: string; count: number; bytes: number; distinct?: number },
  ): Promise<void> {
    return this.once(server, `${user} ${mailbox.name}`, async () => {
      await this.client.run(fillTask(server, user, mailbox), undefined, fillDeadlineMs);
      await server.settled(mailbox.count);
    });
  }
}

/** Many messages come fastest over SMTP where the server has it. */
function fillTask(
  server: MailServer,
  user: string,
  { name, count, bytes, distinct = count }: { name: string; count: number; bytes: number; distinct?: number },
): Task {
  const common = { login: loginOf(server, user), mailbox: name, count, bytes };
  return server.smtpPort !== null && distinct === count && count > mostAppended
    ? { ...common, kind: 'smtp-fill', smtpPort: server.smtpPort, recipient: addressOf(user), sessions: 50 }
    : { ...common, kind: 'imap-fill', distinct, connections: 50 };
}

function ownCpu(roots: readonly number[]): number {
  return roots.reduce((sum, pid) => sum + ownCpuSeconds(pid), 0);
}

function programMiB(roots: readonly number[]): { readonly now: number; readonly peak: number } {
  const all = roots.map(residentMiB);
  return { now: all.reduce((sum, { now }) => sum + now, 0), peak: all.reduce((sum, { peak }) => sum + peak, 0) };
}

/** The sample of a timed piece of work. */
export function sampleOf(
  { outcome, moreMiB, roundTrips, ...figures }: Timed,
  value: number,
  also?: Readonly<Record<string, number>>,
): Sample {
  const trips = roundTrips === null ? {} : { [roundTripsEach]: roundTrips / Math.max(1, outcome.count) };
  return { ...figures, value, also: { [memoryMore]: moreMiB, ...trips, ...outcome.also, ...also } };
}

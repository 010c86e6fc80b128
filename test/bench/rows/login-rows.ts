/** LOGIN, SELECT and LOGOUT, idle connections, and how fast one that idles hears of mail. */
import path from 'node:path';
import { mkdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { sampleOf, type Bench, type Timed } from '../bench.ts';
import type { Login } from '../client/tasks.ts';
import { pssMiBOf } from '../proc.ts';
import { addressOf, cheapUsers, loginOf, plainUsers, type MailServer } from '../servers/mail-server.ts';
import { Postrider } from '../servers/postrider.ts';
import { bound, times, type Aim } from './aim.ts';
import type { Row } from './row.ts';

const loginConnections = 10;
/**
 * Dovecot hibernates 5 s after the last command, and ends processes that have nothing to do 3 s later; ours, left alone
 * for as long, collects what the logins left behind.
 */
const restMs = 12_000;

function logins(name: string, title: string, aim: Aim, o: { tls: boolean; cheap: boolean }): Row {
  return {
    name,
    title,
    unit: '/s',
    better: 'more',
    aim,
    servers: o.tls ? ['postrider', 'dovecot-mdbox'] : ['postrider', 'dovecot-mdbox', 'empty-loop'],
    async measure(bench, server) {
      const names = (o.cheap ? cheapUsers : plainUsers).slice(0, 10);
      const timed = await bench.timed(server, {
        kind: 'imap-logins',
        // Ours takes no password in clear: it pays for TLS in both rows.
        logins: names.map((user) => loginOf(server, user, server instanceof Postrider ? { tls: true } : o)),
        connections: loginConnections,
        seconds: bench.seconds(4, 1.5),
      });
      return sampleOf(timed, timed.outcome.count / timed.outcome.seconds);
    },
  };
}

function idleMemory(name: string, title: string, tls: boolean): Row {
  return {
    name,
    title,
    unit: 'KiB',
    better: 'less',
    aim: times(10, 'dovecot-mdbox'),
    ...(!tls && { clearLogin: true }),
    servers: ['postrider', 'dovecot-mdbox'],
    rounds: 2,
    isNearOnly: true,
    needsNoWarmUp: true,
    measure: (bench, server) => measureIdle(bench, server, tls),
  };
}

/** KiB of PSS that a connection in IDLE adds. */
async function measureIdle(bench: Bench, server: MailServer, tls: boolean) {
  const count = bench.size(1000, 200);
  // Dovecot would compute argon2id for each of them: a minute, and no more memory.
  const some = server instanceof Postrider ? plainUsers : cheapUsers;
  const userOf = (n: number): string => some[n % some.length] as string;
  const held: Login[] = Array.from({ length: count }, (_, n) => loginOf(server, userOf(n), { tls }));
  const hold = (some: readonly Login[]) => bench.timed(server, { kind: 'imap-hold', logins: some });
  // Whoever logs in first makes caches that stay: not a connection's cost.
  await hold(held.slice(0, 50));
  await bench.client.run({ kind: 'imap-release' });
  await sleep(restMs);
  const before = pssMiBOf(server.roots());
  let timed: Timed;
  try {
    timed = await hold(held);
    await sleep(restMs);
    const after = pssMiBOf(server.roots());
    return sampleOf({ ...timed, peakPssMiB: after }, ((after - before) * 1024) / count, {
      'MiB before': before,
      'MiB with all': after,
    });
  } finally {
    await bench.client.run({ kind: 'imap-release' });
    await sleep(500);
  }
}

const seconds = new WeakMap<Bench, Postrider>();

/** Stopped with the others by whoever owns them: a second process is one of ours. */
export function secondProcess(bench: Bench): Postrider | undefined {
  return seconds.get(bench);
}

async function second(bench: Bench, server: Postrider): Promise<Postrider> {
  const folder = path.join(bench.folder, 'second');
  await mkdir(folder, { recursive: true });
  const started = seconds.get(bench) ?? (await server.startSecond(folder));
  seconds.set(bench, started);
  return started;
}

const idleLatency: Row = {
  name: 'idle-latency',
  title: 'final dot (APPEND for Dovecot) to EXISTS on IDLE in another process, p99 in brackets',
  unit: 'ms',
  better: 'less',
  aim: bound(20, { 'p99 ms': 200 }),
  clearLogin: true,
  servers: ['postrider', 'dovecot-mdbox'],
  async prepare(bench, server) {
    if (server instanceof Postrider) await second(bench, server);
  },
  async finish(bench) {
    await seconds.get(bench)?.[Symbol.asyncDispose]();
    seconds.delete(bench);
  },
  async measure(bench, server) {
    const idler = server instanceof Postrider ? await second(bench, server) : server;
    const login = loginOf(server, 'idler');
    const timed = await bench.timed(server, {
      kind: 'idle-latency',
      idle: loginOf(idler, 'idler'),
      deliver: {
        ...login,
        ...(server.smtpPort === null ? { by: 'append' } : { by: 'smtp', port: server.smtpPort }),
        recipient: addressOf('idler'),
      },
      // Dovecot tells half a second later, by design: fewer are enough.
      count: server instanceof Postrider ? bench.size(200, 50) : 20,
    });
    return sampleOf(timed, timed.outcome.also?.['p50 ms'] ?? Number.NaN);
  },
};

export const loginRows: readonly Row[] = [
  logins('login', 'LOGIN + SELECT + LOGOUT, 10 connections, Dovecot without TLS', times(5, 'dovecot-mdbox'), {
    tls: false,
    cheap: false,
  }),
  logins('login-tls', 'the same, both with TLS', times(2, 'dovecot-mdbox'), { tls: true, cheap: false }),
  logins(
    'login-cheap-hash',
    'the same, Dovecot without TLS and with a hash that costs nothing',
    times(5, 'dovecot-mdbox'),
    {
      tls: false,
      cheap: true,
    },
  ),
  idleMemory('idle-memory', 'memory of an idle connection', false),
  idleMemory('idle-memory-tls', 'memory of an idle connection with TLS', true),
  idleLatency,
];

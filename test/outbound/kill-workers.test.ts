/**
 * Two worker processes, killed with kill -9 again and again while they send; and the same with Postgres killed. Nobody
 * misses a message, whoever got one twice is named by an attempt that may have delivered, and no next hop ever has more
 * connections than it may. CHAOS_MESSAGES makes it longer: 100000 is the size that releases are tested with.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import { migrate } from '#shared/db/migrate.ts';
import { startEmbeddedPostgres } from '#server/embedded/embedded-postgres.ts';
import { createTestDatabase } from '../harness/database.ts';
import { spooled } from '../harness/message.ts';
import { newOutbound, openQueue, peerLanes, peerRouter, type QueueUnderTest } from './queue-under-test.ts';
import { RecordingPeer } from './recording-peer.ts';

const messages = Number(process.env['CHAOS_MESSAGES'] ?? 2_000);
const domains = 10;
const leaseSeconds = 2;
/** Slow enough that there is always something under way. */
const answerMs = messages > 20_000 ? 20 : 60;
const program = path.join(import.meta.dirname, 'worker-program.ts');
const timeoutMs = 240_000 + messages * 20;
/** Between two disturbances, on average; so long that a large run has some dozens of them. */
const meanPauseMs = Math.min(3_000, 1_000 + messages / 20);

describe('outbound mail under kill -9', () => {
  test(
    'of the workers',
    async () => {
      await using server = await createTestDatabase();
      await run(server.url, async (workers) => {
        const at = Math.floor(Math.random() * workers.length);
        await workers[at]?.kill();
        await workers[at]?.start();
      });
    },
    timeoutMs,
  );

  test(
    'of Postgres',
    async () => {
      const folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-queue-'));
      try {
        await using postgres = await startEmbeddedPostgres({ directory: folder, logger: pino({ level: 'silent' }) });
        await using database = createDatabase({ url: postgres.url });
        await migrate(database);
        await run(postgres.url, async () => {
          const { pid } = postgres;
          process.kill(pid, 'SIGKILL');
          // Its supervisor starts it again.
          while (postgres.pid === pid || !(await isAnswering(database))) await sleep(100);
        });
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
    timeoutMs,
  );
});

async function run(url: string, disturb: (workers: readonly WorkerProcess[]) => Promise<void>): Promise<void> {
  await using peer = await RecordingPeer.start({ answerMs });
  await using under = openQueue(url, peerRouter);
  const wanted = await fill(under);
  await using workers = new AsyncDisposableStack();
  const both = [0, 1].map(() => workers.use(new WorkerProcess(url, peer.port)));
  for (const worker of both) await worker.start();
  let disturbances = 0;
  const startedAt = performance.now();
  for (let left = wanted.size; left > 0; left = await leftOf(under)) {
    await sleep(meanPauseMs * (0.4 + 1.2 * Math.random()));
    // Enough is enough: what lapsed last must be sent in peace, or the test would never end.
    if (left < wanted.size / 10) continue;
    await disturb(both);
    disturbances++;
  }
  for (const worker of both) await worker.stop();

  expect(disturbances).toBeGreaterThan(1);
  expect([...wanted].filter((address) => !peer.arrived.has(address))).toEqual([]);
  const doubts = await doubtsOf(under);
  const unnamed = [...peer.duplicates].filter(([address, copies]) => copies > (doubts.get(address) ?? 0));
  expect(unnamed).toEqual([]);
  for (const [domain, most] of peer.mostConnections) expect([domain, most <= peerLanes]).toEqual([domain, true]);
  const copies = [...peer.duplicates.values()].reduce((sum, count) => sum + count, 0);
  const most = Math.max(...peer.mostConnections.values());
  console.info(
    `${wanted.size} messages, ${disturbances} disturbances, ${Math.round((performance.now() - startedAt) / 1000)} s: none lost, ` +
      `${copies} second copies at ${peer.duplicates.size} recipients, each named by an attempt (of ${doubts.size} recipients in doubt), ` +
      `at most ${most} of ${peerLanes} connections to a domain`,
  );
}

async function fill(under: QueueUnderTest): Promise<ReadonlySet<string>> {
  const wanted = new Set<string>();
  for (let at = 0; at < messages; at += 100) {
    await Promise.all(
      Array.from({ length: Math.min(100, messages - at) }, async (_, i) => {
        const to = `u${at + i}@d${(at + i) % domains}.test`;
        wanted.add(to);
        await using message = await spooled(`Subject: ${at + i}\r\n\r\nGood day.\r\n`);
        await under.acceptor.accept(message, [], [newOutbound([to])]);
      }),
    );
  }
  return wanted;
}

/** While the database is away, nobody knows: then all. */
async function leftOf({ database }: QueueUnderTest): Promise<number> {
  try {
    const { count } = await database.db
      .selectFrom('outbound_recipient')
      .select((eb) => eb.fn.countAll<bigint>().as('count'))
      .executeTakeFirstOrThrow();
    return Number(count);
  } catch {
    return Number.MAX_SAFE_INTEGER;
  }
}

async function isAnswering({ db }: PostgresDatabase): Promise<boolean> {
  return sql`select 1`.execute(db).then(
    () => true,
    () => false,
  );
}

/** Of each address the attempts of which nobody knew whether they had delivered. */
async function doubtsOf({ database }: QueueUnderTest): Promise<ReadonlyMap<string, number>> {
  const rows = await database.db
    .selectFrom('outbound_attempt')
    .select(['address', (eb) => eb.fn.countAll<bigint>().as('count')])
    .where((eb) => eb.or([eb('uncertain', '=', true), eb('stale', '=', true)]))
    .groupBy('address')
    .execute();
  return new Map(rows.map(({ address, count }) => [address, Number(count)]));
}

class WorkerProcess implements AsyncDisposable {
  readonly #environment: NodeJS.ProcessEnv;
  #child: ChildProcess | null = null;

  constructor(url: string, port: number) {
    this.#environment = { ...process.env, DATABASE_URL: url, PEER_PORT: String(port), LEASE: String(leaseSeconds) };
  }

  async start(): Promise<void> {
    const child = spawn(process.execPath, [program], { env: this.#environment, stdio: ['ignore', 'pipe', 'inherit'] });
    this.#child = child;
    await once(child.stdout, 'data');
  }

  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** SIGTERM: what is under way is finished, the rest given back. */
  async stop(): Promise<void> {
    const child = this.#child;
    await this.#end('SIGTERM');
    expect(child?.exitCode).toBe(0);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#end('SIGKILL');
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, 'exit');
    child.kill(signal);
    await exit;
  }
}

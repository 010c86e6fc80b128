/**
 * Whether 250 means durable: counted and read from Postgres's own log. For each 250 the place up to which the log was
 * on disk is asked for at once, and afterwards compared with where the commit of that message lies in it.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { pino } from 'pino';
import { startEmbeddedPostgres } from '#server/embedded/embedded-postgres.ts';
import { startService, users } from '../harness/service.ts';
import { makeMessage, SmtpLoad, type LoadMessage } from './smtp-load.ts';
import { countSyncs } from './trace-syncs.ts';

export type Load = {
  readonly sessions: number;
  readonly messages: number;
  /** Of Postgres, on top of ours. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Count fsync and fdatasync as the kernel sees them. */
  readonly trace?: boolean;
};

export type Evidence = {
  /** 250s. */
  readonly accepted: number;
  readonly commits: number;
  /** Syncs of the write-ahead log, as Postgres counts them. */
  readonly walSyncs: number;
  /** fsync and fdatasync of all of its processes; null: not traced. */
  readonly systemCalls: number | null;
  /** Messages whose 250 came while their commit was not yet on disk. */
  readonly early: readonly string[];
};

const loadTimeoutMs = 60_000;
const statisticsTimeoutMs = 4000;

/** Runs the real program on a Postgres of its own. */
export async function gatherEvidence(load: Load): Promise<Evidence> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-durability-'));
  try {
    await using postgres = await startEmbeddedPostgres({
      directory: folder,
      logger: pino({ level: 'silent' }),
      ...(load.settings && { settings: load.settings }),
    });
    await using witness = await Witness.open(postgres.url);
    const service = await startService({ databaseUrl: postgres.url, dataDirectory: path.join(folder, 'data') });
    const messages = Array.from({ length: load.messages }, (_, n) =>
      makeMessage(`durable-${n}`, [users.alice.address], 2000),
    );
    try {
      const before = await witness.counters();
      const trace = load.trace ? await countSyncs(postgres.pid) : null;
      const sender = new SmtpLoad(service.ports.smtp, messages);
      sender.onAccepted = (message) => witness.noteFlushed(message);
      await sender.run(load.sessions, AbortSignal.timeout(loadTimeoutMs));
      const accepted = sender.count('accepted');
      const systemCalls = (await trace?.stop()) ?? null;
      // Its connections tell their last counts when they end.
      await service.stop();
      const after = await witness.countersWith(before, accepted);
      const early = await witness.earlyReplies(before.lsn, accepted);
      const { commits, walSyncs } = after;
      return {
        accepted,
        commits: commits - before.commits,
        walSyncs: walSyncs - before.walSyncs,
        systemCalls,
        early,
      };
    } finally {
      await service[Symbol.asyncDispose]();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

type Counters = { readonly lsn: string; readonly commits: number; readonly walSyncs: number };

class Witness implements AsyncDisposable {
  /** Several connections: no 250 waits for the question about another. */
  readonly #pool: pg.Pool;
  /** By the message's SHA-256: how far the log was on disk when its 250 had come. */
  readonly #flushed = new Map<string, { readonly id: string; readonly lsn: bigint }>();

  private constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  static async open(url: string): Promise<Witness> {
    const pool = new pg.Pool({ connectionString: url, max: 10 });
    // The pool's end does not wait until its connections are closed: Postgres may stop first, and says so to them.
    pool.on('error', () => undefined);
    pool.on('connect', (client) => client.on('error', () => undefined));
    await pool.query('create extension pg_walinspect');
    return new Witness(pool);
  }

  async noteFlushed({ id, sha256 }: LoadMessage): Promise<void> {
    const { rows } = await this.#pool.query<{ lsn: string }>('select pg_current_wal_flush_lsn() - $1::pg_lsn as lsn', [
      '0/0',
    ]);
    this.#flushed.set(sha256, { id, lsn: BigInt(rows[0]?.lsn ?? 0) });
  }

  async counters(): Promise<Counters> {
    const { rows } = await this.#pool.query<{ lsn: string; commits: string; syncs: string }>(
      `select pg_current_wal_insert_lsn() as lsn,
         (select xact_commit from pg_stat_database where datname = current_database()) as commits,
         (select coalesce(sum(fsyncs), 0) from pg_stat_io where object = 'wal') as syncs`,
    );
    const [row] = rows;
    return { lsn: row?.lsn ?? '0/0', commits: Number(row?.commits), walSyncs: Number(row?.syncs) };
  }

  /** Postgres's own processes tell their counts once a second: as soon as there are as many more, else the last ones. */
  async countersWith(before: Counters, expected: number): Promise<Counters> {
    for (const deadline = performance.now() + statisticsTimeoutMs; ; await sleep(100)) {
      const now = await this.counters();
      const isEnough = now.commits - before.commits >= expected && now.walSyncs - before.walSyncs >= expected;
      if (isEnough || performance.now() > deadline) return now;
    }
  }

  /** Every message must be there, with a commit in the log; those replied to before it was on disk are named. */
  async earlyReplies(from: string, accepted: number): Promise<readonly string[]> {
    if (this.#flushed.size !== accepted) throw new Error(`of ${accepted} 250s ${this.#flushed.size} were looked at`);
    // What was not written yet is not in the log's files.
    await this.#pool.query('checkpoint');
    const { rows } = await this.#pool.query<{ sha256: string; lsn: string | null }>(
      `select encode(e.blob_hash, 'hex') as sha256, c.end_lsn - '0/0'::pg_lsn as lsn
         from email e left join pg_get_wal_records_info($1, pg_current_wal_flush_lsn()) c
           on c.resource_manager = 'Transaction' and c.record_type like 'COMMIT%' and c.xid = e.xmin`,
      [from],
    );
    const commits = new Map(rows.map(({ sha256, lsn }) => [sha256, lsn]));
    return [...this.#flushed].flatMap(([sha256, { id, lsn }]) => {
      const commit = commits.get(sha256);
      if (commit === undefined || commit === null) throw new Error(`${id} was accepted and has no commit in the log`);
      return lsn < BigInt(commit) ? [id] : [];
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.end();
  }
}

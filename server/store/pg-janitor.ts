/**
 * Removes what nobody refers to any more: emails and blobs that are neither in a mailbox nor on their way out, old
 * batches, old change log, what went out long ago. Any number of processes may sweep at once, while mail arrives.
 *
 * A delivery that reuses a blob holds a KEY SHARE lock on its row until its email is committed. The sweep locks
 * the row FOR UPDATE, skipping those that are held, and looks again in a second statement: what was
 * committed before its lock is seen there, and who comes later waits, finds the row gone, and writes it again.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { sql, type Kysely } from 'kysely';
import type { PostgresDatabase } from '#shared/db/client.ts';
import type { Database } from '#shared/db/schema.ts';
import { transact } from '#shared/db/tx.ts';
import { pruneFetchPacks } from './pg-fetch-packs-prune.ts';
import { sweepLooseEmails } from './pg-loose-emails.ts';
import { pruneQueue } from './pg-queue-prune.ts';
import { pruneStsPolicies } from './pg-sts-policies.ts';
import type { StoreMetrics } from './store-metrics.ts';

export type JanitorOptions = {
  readonly database: PostgresDatabase;
  /** How long a blob may be without an email: a large one is stored before the message. Default an hour. */
  readonly graceSeconds?: number;
  /** How long the change log is kept; who knows an older modseq reads everything again. Default 30 days. */
  readonly logSeconds?: number;
  /** How long messages that went out are kept with their attempts, and dead letters after their expiry. Default 30 days. */
  readonly outboundSeconds?: number;
  /** Default an hour. */
  readonly intervalSeconds?: number;
  readonly onError?: (error: unknown) => void;
  readonly metrics?: StoreMetrics;
};

export type Swept = {
  readonly emails: number;
  readonly blobs: number;
  readonly logEntries: number;
  readonly batches: number;
  readonly outboundMessages: number;
  readonly outboundAttempts: number;
  readonly stsPolicies: number;
  readonly fetchPacks: number;
};

/** Neither stored for anyone nor on its way out. */
const isUnused = sql<boolean>`not exists (select from email e where e.blob_hash = b.hash)
  and not exists (
    select from outbound_message m join outbound_recipient r on r.message_id = m.id where m.blob_hash = b.hash)`;

const blobsPerTransaction = 1000;
const logEntriesPerTransaction = 10_000;
/** Far longer than a lane looks for the outcome of a batch. There are many: a busy server makes a hundred a second. */
const batchSeconds = 2 * 3600;

export class Janitor implements AsyncDisposable {
  readonly #options: Required<Omit<JanitorOptions, 'onError' | 'metrics'>>;
  readonly #metrics: StoreMetrics | null;
  readonly #onError: (error: unknown) => void;
  readonly #abort = new AbortController();
  #running: Promise<void> | null = null;

  constructor({ onError = () => undefined, metrics, ...options }: JanitorOptions) {
    this.#metrics = metrics ?? null;
    const month = 30 * 24 * 3600;
    this.#options = {
      graceSeconds: 3600,
      logSeconds: month,
      outboundSeconds: month,
      intervalSeconds: 3600,
      ...options,
    };
    this.#onError = onError;
  }

  /** Sweeps now and then until disposed of. */
  start(): void {
    this.#running ??= this.#run();
  }

  async sweepOnce(): Promise<Swept> {
    const { db } = this.#options.database;
    return {
      ...(await pruneQueue(db, this.#options.outboundSeconds, this.#abort.signal)),
      // Before the blobs, which they may be the last to have.
      emails: await sweepLooseEmails(db, this.#abort.signal),
      blobs: await this.#sweepBlobs(db),
      logEntries: await this.#pruneLog(db),
      batches: await this.#pruneBatches(db),
      stsPolicies: await pruneStsPolicies(db),
      fetchPacks: await pruneFetchPacks(db, this.#abort.signal),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    while (!signal.aborted) {
      // Not all processes at the same time.
      const ms = this.#options.intervalSeconds * 1000 * (0.5 + Math.random());
      await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined);
      if (!signal.aborted) await this.#sweepAndCount();
    }
  }

  async #sweepAndCount(): Promise<void> {
    try {
      const swept = await this.sweepOnce();
      for (const [rows, count] of Object.entries(swept)) this.#metrics?.sweptRows.inc({ rows }, count);
      this.#metrics?.sweeps.inc({ outcome: 'ok' });
    } catch (error) {
      this.#metrics?.sweeps.inc({ outcome: 'failed' });
      this.#onError(error);
    }
  }

  /** All blobs in the order of their hashes, some in each transaction. */
  async #sweepBlobs(db: Kysely<Database>): Promise<number> {
    let removed = 0;
    for (let after: Buffer | null = Buffer.alloc(0); after && !this.#abort.signal.aborted;) {
      const from: Buffer = after;
      const last = await lastOfPage(db, from);
      removed += await transact(db, (tx) => this.#sweepPage(tx, from, last));
      after = last;
    }
    return removed;
  }

  /** `last` null: to the end. */
  async #sweepPage(tx: Kysely<Database>, after: Buffer, last: Buffer | null): Promise<number> {
    const { rows } = await sql<{ hash: Buffer }>`
      select b.hash from blob b
      where b.hash > ${after} and (${last}::bytea is null or b.hash <= ${last})
        and b.at <= now() - make_interval(secs => ${this.#options.graceSeconds})
        and ${isUnused}
      order by b.hash for update of b skip locked`.execute(tx);
    if (rows.length === 0) return 0;
    const gone = await sql<{ hash: Buffer }>`
      delete from blob b
      where b.hash = any (${rows.map(({ hash }) => hash)}::bytea[])
        and ${isUnused}
      returning b.hash`.execute(tx);
    await sql`delete from blob_piece where hash = any (${gone.rows.map(({ hash }) => hash)}::bytea[])`.execute(tx);
    return gone.rows.length;
  }

  /** What is of an account that somebody writes to is left for the next sweep: who waited would hold up all the others. */
  async #pruneLog(db: Kysely<Database>): Promise<number> {
    let removed = 0;
    for (let count = 1; count > 0 && !this.#abort.signal.aborted; removed += count) {
      count = await transact(db, (tx) => this.#pruneSomeLog(tx));
    }
    return removed;
  }

  async #pruneSomeLog(tx: Kysely<Database>): Promise<number> {
    const { rows } = await sql<{ account_id: bigint; floor: bigint }>`
      select account_id, max(modseq)::int8 as floor from (
        select account_id, modseq from change_log
        where at < now() - make_interval(secs => ${this.#options.logSeconds})
        limit ${logEntriesPerTransaction}) old
      group by account_id`.execute(tx);
    const { numAffectedRows } = await sql`
      with free as materialized (
        select s.account_id, p.floor
        from unnest(${rows.map((row) => row.account_id)}::int8[], ${rows.map((row) => row.floor)}::int8[]) p (account_id, floor)
        join account_state s on s.account_id = p.account_id
        for update of s skip locked
      ), kept as (
        update account_state s set log_floor = greatest(s.log_floor, f.floor) from free f where s.account_id = f.account_id)
      delete from change_log l using free f where l.account_id = f.account_id and l.modseq <= f.floor`.execute(tx);
    return Number(numAffectedRows ?? 0n);
  }

  async #pruneBatches(db: Kysely<Database>): Promise<number> {
    const { numAffectedRows } = await sql`
      delete from delivery_batch where at < now() - make_interval(secs => ${batchSeconds})`.execute(db);
    return Number(numAffectedRows ?? 0n);
  }
}

/** The hash that ends a page which begins after `after`; null: the page is the last one. */
async function lastOfPage(db: Kysely<Database>, after: Buffer): Promise<Buffer | null> {
  const rows = await db
    .selectFrom('blob')
    .select('hash')
    .where('hash', '>', after)
    .orderBy('hash')
    .limit(blobsPerTransaction)
    .execute();
  return rows.length < blobsPerTransaction ? null : (rows.at(-1)?.hash ?? null);
}

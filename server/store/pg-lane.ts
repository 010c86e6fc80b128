/**
 * The one writer of a process for new mail. When idle it commits at once; while a commit is under way it
 * collects, so that the messages of many sessions share a round trip and a commit. A message that can't be
 * stored fails alone, and one for an account in the middle of a long change is tried again later. After a lost connection the outcome of the batch is looked up by its id.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { classifyPgError, isConnectionLoss } from '#shared/db/pg-error.ts';
import { retryDelayMs } from '#shared/db/tx.ts';
import { MailError } from '#server/mail/mail-error.ts';
import { maxKeywords } from '#shared/base/limits.ts';
import {
  decodeAnswer,
  encodeBatch,
  storeBatchStatement,
  type BatchAnswer,
  type BatchJob,
  type Refusal,
  type Stored,
} from './pg-batch.ts';
import { mailErrorOf } from './pg-fault.ts';
import type { StoreMetrics } from './store-metrics.ts';

const maxBatchItems = 200;
const maxBatchBytes = 4 * 1024 * 1024;
const maxAttempts = 5;
/** How long a message waits for an account that others write to, and the longest pause between two attempts. */
const busyDeadlineMs = 60_000;
const maxBusyDelayMs = 200;
/** How long the outcome of a batch is looked for after its connection was lost. */
const outcomeDeadlineMs = 10_000;
/** Longer than the server's own statement_timeout: then the connection is dead. */
const answerTimeoutMs = 90_000;

/** Of the session that calls store_batch. */
export const laneSettings = {
  statement_timeout: '60000',
  // The arrays' lengths vary, the plan must not: always by index, one row after the other.
  plan_cache_mode: 'force_generic_plan',
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
};

type LaneOutcome = readonly Stored[] | Refusal;
type Outcome = Exclude<LaneOutcome, 'busy'>;
type Waiting = {
  readonly job: BatchJob;
  readonly settle: PromiseWithResolvers<Outcome>;
  readonly attempt: number;
  /** When its account must not be busy any more. */
  readonly deadline: number;
};

export class DeliveryLane implements AsyncDisposable {
  readonly #database: PostgresDatabase;
  #queue: Waiting[] = [];
  #client: pg.Client | null = null;
  #running: Promise<void> | null = null;
  readonly #metrics: StoreMetrics | null;
  /** Everything submitted and not settled, also what waits for its account. */
  readonly #open = new Set<Promise<unknown>>();

  constructor(database: PostgresDatabase, metrics: StoreMetrics | null) {
    this.#database = database;
    this.#metrics = metrics;
  }

  /** Resolves after the commit. MailError unavailable: not stored, or nobody knows. */
  submit(job: BatchJob): Promise<Outcome> {
    const settle = Promise.withResolvers<Outcome>();
    const settled = settle.promise.then(
      () => undefined,
      () => undefined,
    );
    this.#open.add(settled);
    void settled.then(() => this.#open.delete(settled));
    this.#enqueue({ job, settle, attempt: 1, deadline: performance.now() + busyDeadlineMs });
    return settle.promise;
  }

  /** What was submitted is finished first. */
  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#open.size > 0) await Promise.all(this.#open);
    await this.#running;
    await this.#client?.end();
    this.#client = null;
  }

  #enqueue(waiting: Waiting): void {
    this.#queue.push(waiting);
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    // What arrives in the same turn of the event loop goes together.
    await new Promise(setImmediate);
    while (this.#queue.length > 0) {
      const batch = this.#take();
      await this.#store(batch);
    }
    this.#running = null;
  }

  #take(): readonly Waiting[] {
    const checked = new Set<bigint>();
    let items = 0;
    let bytes = 0;
    let count = 0;
    for (const { job } of this.#queue) {
      items += job.items.length;
      bytes += job.isUploaded ? 0 : job.items.reduce((sum, { message }) => sum + message.size, 0);
      if (count > 0 && (items > maxBatchItems || bytes > maxBatchBytes)) break;
      // Two jobs that look at one account's quota would not see one another.
      if (job.refusesOverQuota && job.items.some(({ accountId }) => checked.has(accountId))) break;
      if (job.refusesOverQuota) for (const { accountId } of job.items) checked.add(accountId);
      count++;
    }
    return this.#queue.splice(0, count);
  }

  /** Never rejects. */
  async #store(batch: readonly Waiting[]): Promise<void> {
    try {
      const outcomes = await this.#commitWithRetries(batch.map(({ job }) => job));
      for (const [i, waiting] of batch.entries()) {
        const outcome = outcomes[i] as LaneOutcome;
        if (outcome === 'busy') this.#putOff(waiting);
        else waiting.settle.resolve(outcome);
      }
    } catch (error) {
      const refusal = mailErrorOf(error) ?? (batch.length === 1 ? keywordLimit(error) : null);
      if (refusal || batch.length === 1) {
        for (const { settle } of batch) settle.reject(refusal ?? error);
        return;
      }
      // One of them can't be stored, and must not take its neighbours with it.
      for (const waiting of batch) await this.#store([waiting]);
    }
  }

  /** Its account is in the middle of another change. */
  #putOff(waiting: Waiting): void {
    if (performance.now() > waiting.deadline) {
      waiting.settle.reject(new MailError({ kind: 'unavailable' }));
      return;
    }
    const next = { ...waiting, attempt: waiting.attempt + 1 };
    setTimeout(() => this.#enqueue(next), Math.min(maxBusyDelayMs, retryDelayMs(waiting.attempt, Math.random())));
  }

  async #commitWithRetries(jobs: readonly BatchJob[]): Promise<readonly LaneOutcome[]> {
    for (let attempt = 1; ; attempt++) {
      try {
        return decodeAnswer(jobs, await this.#timed(jobs));
      } catch (error) {
        const isWorthwhile = error instanceof NotCommitted || classifyPgError(error).kind === 'serialization';
        if (!isWorthwhile || attempt === maxAttempts) throw error instanceof NotCommitted ? error.cause : error;
        this.#metrics?.deliveryRetries.inc({ reason: error instanceof NotCommitted ? 'connection' : 'serialization' });
      }
      await sleep(retryDelayMs(attempt, Math.random()));
    }
  }

  async #timed(jobs: readonly BatchJob[]): Promise<BatchAnswer> {
    const startedAt = performance.now();
    const answer = await this.#commit(jobs);
    this.#metrics?.deliveryBatchMessages.observe(jobs.length);
    this.#metrics?.deliveryBatchSeconds.observe((performance.now() - startedAt) / 1000);
    return answer;
  }

  async #commit(jobs: readonly BatchJob[]): Promise<BatchAnswer> {
    const id = randomUUID();
    const client = await this.#connection();
    try {
      const { rows } = await client.query<{ result: BatchAnswer }>({
        ...storeBatchStatement,
        values: [...encodeBatch(id, jobs)],
        query_timeout: answerTimeoutMs,
      } as pg.QueryConfig);
      return (rows[0] as { result: BatchAnswer }).result;
    } catch (error) {
      if (!isConnectionLoss(error)) throw error;
      this.#drop(client);
      const result = await this.#outcome(id, error);
      // It is certain that it will never commit, so it may be tried again.
      if (result === null) throw new NotCommitted(error);
      return result;
    }
  }

  /**
   * What became of a batch whose connection was lost; null: it is not committed and can't be any more. Waits
   * for the old backend: the batch holds an advisory lock. Should the server get to read the statement only
   * after us, its insert into delivery_batch fails on the row put here.
   */
  async #outcome(id: string, lost: unknown): Promise<BatchAnswer | null> {
    const deadline = performance.now() + outcomeDeadlineMs;
    for (let attempt = 1; ; attempt++) {
      try {
        const client = await this.#connection();
        await client.query('begin');
        await client.query(`set local statement_timeout = ${outcomeDeadlineMs}`);
        await client.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [id]);
        await client.query('insert into delivery_batch (id) values ($1) on conflict do nothing', [id]);
        const { rows } = await client.query<{ result: BatchAnswer | null }>(
          'select result from delivery_batch where id = $1',
          [id],
        );
        await client.query('commit');
        return rows[0]?.result ?? null;
      } catch (error) {
        if (this.#client) this.#drop(this.#client);
        if (classifyPgError(error).kind !== 'unavailable') throw error;
        if (performance.now() > deadline) throw lost;
      }
      await sleep(Math.min(1000, 20 * 2 ** attempt));
    }
  }

  async #connection(): Promise<pg.Client> {
    if (this.#client) return this.#client;
    const client = await this.#database.connect('delivery', laneSettings);
    client.on('end', () => {
      if (this.#client === client) this.#client = null;
    });
    this.#client = client;
    return client;
  }

  #drop(client: pg.Client): void {
    if (this.#client === client) this.#client = null;
    void client.end().catch(() => undefined);
  }
}

/** The connection was lost and the batch is certain not to be committed. */
class NotCommitted extends Error {
  constructor(cause: unknown) {
    super('the batch was not committed', { cause });
  }
}

/** store_batch_keyword raises it. */
function keywordLimit(error: unknown): MailError | null {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'MR001') return null;
  return new MailError({ kind: 'limit', reason: `a mailbox has at most ${maxKeywords} keywords` }, { cause: error });
}

/**
 * The one writer of a process for new mail. When idle it commits at once; while a commit is under way it
 * collects, so that the messages of many sessions share a round trip and a commit. A message that can't be
 * stored fails alone, and one for an account in the middle of another change is tried again later, at last in the line
 * with those who write to it.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { classifyPgError } from '#shared/db/pg-error.ts';
import { retryDelayMs } from '#shared/db/tx.ts';
import { MailError } from '#server/mail/mail-error.ts';
import { maxKeywords } from '#shared/base/limits.ts';
import { decodeAnswer, isNamed, type BatchJob, type Refusal, type Stored } from './pg-batch.ts';
import { NotCommitted } from './batch-outcome.ts';
import { BatchWriter } from './pg-batch-writer.ts';
import { mailErrorOf } from './pg-fault.ts';
import type { StoreMetrics } from './store-metrics.ts';

const maxBatchItems = 200;
const maxBatchBytes = 4 * 1024 * 1024;
const maxAttempts = 5;
/** How long a message waits for an account that others write to, and the longest pause between two attempts. */
const busyDeadlineMs = 60_000;
const maxBusyDelayMs = 200;
/** Attempts to find its account free before a message waits in the line for it. */
const hastyAttempts = 6;

type LaneOutcome = readonly Stored[] | Refusal;
type Outcome = Exclude<LaneOutcome, 'busy'>;
type Waiting = {
  readonly job: BatchJob;
  readonly settle: PromiseWithResolvers<Outcome>;
  readonly attempt: number;
  /** When its account must not be busy any more. */
  readonly deadline: number;
};

/** Messages on their way, and the connection that takes them there. */
type Queue = {
  readonly writer: BatchWriter;
  readonly isPatient: boolean;
  waiting: Waiting[];
  running: Promise<void> | null;
};

export class DeliveryLane implements AsyncDisposable {
  readonly #metrics: StoreMetrics | null;
  readonly #hasty: Queue;
  /** Of those whose accounts were found busy again and again. */
  readonly #patient: Queue;
  /** Everything submitted and not settled, also what waits for its account. */
  readonly #open = new Set<Promise<unknown>>();

  constructor(database: PostgresDatabase, metrics: StoreMetrics | null) {
    this.#metrics = metrics;
    this.#hasty = { writer: new BatchWriter(database), isPatient: false, waiting: [], running: null };
    this.#patient = { writer: new BatchWriter(database), isPatient: true, waiting: [], running: null };
  }

  /** A job that is submitted now is stored at once, not together with others. */
  get isIdle(): boolean {
    return this.#hasty.running === null;
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
    this.#enqueue(this.#hasty, { job, settle, attempt: 1, deadline: performance.now() + busyDeadlineMs });
    return settle.promise;
  }

  /** What was submitted is finished first. */
  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#open.size > 0) await Promise.all(this.#open);
    for (const { running, writer } of [this.#hasty, this.#patient]) {
      await running;
      await writer[Symbol.asyncDispose]();
    }
  }

  #enqueue(queue: Queue, waiting: Waiting): void {
    queue.waiting.push(waiting);
    queue.running ??= this.#run(queue);
  }

  async #run(queue: Queue): Promise<void> {
    // What arrives in the same turn of the event loop goes together.
    await new Promise(setImmediate);
    while (queue.waiting.length > 0) await this.#store(queue, takeBatch(queue.waiting));
    queue.running = null;
  }

  /** Never rejects. */
  async #store(queue: Queue, batch: readonly Waiting[]): Promise<void> {
    try {
      const outcomes = await this.#commitWithRetries(
        queue,
        batch.map(({ job }) => job),
      );
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
      for (const waiting of batch) await this.#store(queue, [waiting]);
    }
  }

  /** Its account is in the middle of another change. */
  #putOff(waiting: Waiting): void {
    if (performance.now() > waiting.deadline) {
      waiting.settle.reject(new MailError({ kind: 'unavailable' }));
      return;
    }
    // The busy answer left its blob behind: it need not be sent again.
    const next = { ...waiting, job: { ...waiting.job, isUploaded: true }, attempt: waiting.attempt + 1 };
    const queue = waiting.attempt < hastyAttempts ? this.#hasty : this.#patient;
    setTimeout(
      () => this.#enqueue(queue, next),
      Math.min(maxBusyDelayMs, retryDelayMs(waiting.attempt, Math.random())),
    );
  }

  async #commitWithRetries(queue: Queue, jobs: readonly BatchJob[]): Promise<readonly LaneOutcome[]> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#commit(queue, jobs);
      } catch (error) {
        const isWorthwhile = error instanceof NotCommitted || classifyPgError(error).kind === 'serialization';
        if (!isWorthwhile || attempt === maxAttempts) throw error instanceof NotCommitted ? error.cause : error;
        this.#metrics?.deliveryRetries.inc({ reason: error instanceof NotCommitted ? 'connection' : 'serialization' });
      }
      await sleep(retryDelayMs(attempt, Math.random()));
    }
  }

  async #commit({ writer, isPatient }: Queue, jobs: readonly BatchJob[]): Promise<readonly LaneOutcome[]> {
    const startedAt = performance.now();
    const answer = isPatient ? await writer.commitPatiently(jobs) : await writer.commit(jobs);
    if (answer === null) return jobs.map(() => 'busy');
    this.#metrics?.deliveryBatchMessages.observe(jobs.length);
    this.#metrics?.deliveryBatchSeconds.observe((performance.now() - startedAt) / 1000);
    return decodeAnswer(jobs, answer);
  }
}

/** Takes the first of those that wait, as many as make a batch. */
function takeBatch(waiting: Waiting[]): readonly Waiting[] {
  const checked = new Set<bigint>();
  let items = 0;
  let bytes = 0;
  let count = 0;
  for (const { job } of waiting) {
    items += job.items.length;
    bytes += job.isUploaded ? 0 : job.items.reduce((sum, { message }) => sum + message.size, 0);
    if (count > 0 && (items > maxBatchItems || bytes > maxBatchBytes || isNamed(job))) break;
    // Two jobs that look at one account's quota would not see one another.
    if (job.refusesOverQuota && job.items.some(({ accountId }) => checked.has(accountId))) break;
    if (job.refusesOverQuota) for (const { accountId } of job.items) checked.add(accountId);
    count++;
    if (isNamed(job)) break;
  }
  return waiting.splice(0, count);
}

/** store_batch_keyword raises it. */
function keywordLimit(error: unknown): MailError | null {
  if (!(error instanceof Error) || !('code' in error) || error.code !== 'MR001') return null;
  return new MailError({ kind: 'limit', reason: `a mailbox has at most ${maxKeywords} keywords` }, { cause: error });
}

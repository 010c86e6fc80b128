/**
 * Accepting mail: copies for accounts here and rows of the queue in one transaction. Messages that only go out share
 * transactions as those for accounts do (pg-lane.ts); one that does both has a transaction of its own.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '#shared/base/clock.ts';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { classifyPgError } from '#shared/db/pg-error.ts';
import { retryDelayMs } from '#shared/db/tx.ts';
import { Turns } from '#shared/directory/turns.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { Accepted, MailAcceptor, NewOutbound, QueueId, Router } from '#server/mail/outbound-ports.ts';
import type { ChangeHint, Delivered, Delivery, MailStore, SpooledMessage } from '#server/mail/ports.ts';
import { NotCommitted } from './batch-outcome.ts';
import type { Stored } from './pg-batch.ts';
import { uploadBlob } from './pg-blobs.ts';
import { mailErrorOf, refusing } from './pg-fault.ts';
import { encodeOutbound, type EnqueueJob } from './pg-queue-encode.ts';
import { QueueWriter, type Together, type Written } from './pg-queue-writer.ts';

export type QueueAcceptorOptions = {
  readonly database: PostgresDatabase;
  /** Takes what stays here. */
  readonly store: MailStore;
  readonly router: Router;
  readonly clock: Clock;
  /** How long a message is tried. */
  readonly expiryMs: number;
  /** Hears of every committed change of an account: PgChangeFeed.tell. */
  readonly tell: (hint: ChangeHint) => void;
  /** After something was queued. */
  readonly rouse: () => void;
};

/** What else a transaction does, in the queue's words. */
export type Settling = Pick<Together, 'settlements' | 'delays'>;

const maxBatchJobs = 200;
const maxBatchBytes = 4 * 1024 * 1024;
const maxAttempts = 5;

type Waiting = { readonly job: EnqueueJob; readonly settle: PromiseWithResolvers<readonly QueueId[] | 'blob-gone'> };

export class QueueAcceptor implements MailAcceptor, AsyncDisposable {
  readonly #options: QueueAcceptorOptions;
  readonly #writer: QueueWriter;
  readonly #mixedWriter: QueueWriter;
  readonly #mixedTurns = new Turns(1);
  readonly #waiting: Waiting[] = [];
  #running: Promise<void> | null = null;

  constructor(options: QueueAcceptorOptions) {
    this.#options = options;
    this.#writer = new QueueWriter(options.database, 'queue');
    this.#mixedWriter = new QueueWriter(options.database, 'accept');
  }

  async accept(
    message: SpooledMessage,
    deliveries: readonly Delivery[],
    outbound: readonly NewOutbound[],
  ): Promise<Accepted> {
    if (outbound.length === 0) return { delivered: await this.#options.store.deliver(message, deliveries), queued: [] };
    if (deliveries.length === 0) return { delivered: [], queued: await this.#enqueue(message, outbound) };
    const accepted = await this.acceptAndSettle(message, deliveries, outbound, { settlements: null, delays: [] });
    if (accepted === null) throw new Error('nothing was to be settled, and it was refused as stale');
    return accepted;
  }

  /** Null: what was to be settled was not in hand; nothing is written. */
  async acceptAndSettle(
    message: SpooledMessage,
    deliveries: readonly Delivery[],
    outbound: readonly NewOutbound[],
    settling: Settling,
  ): Promise<Accepted | null> {
    const { router, clock, expiryMs } = this.#options;
    return this.#withBlob(message, async (isUploaded) => {
      const items = deliveries.map((delivery) => ({ ...delivery, message, internalDate: null }));
      const written = await this.#together({
        ...settling,
        local: items.length === 0 ? null : { items, refusesOverQuota: false, isUploaded },
        outbound:
          outbound.length === 0
            ? null
            : encodeOutbound([{ message, isUploaded, outbound }], router, clock.now(), expiryMs),
      });
      if (written.kind === 'blob-gone') return 'blob-gone';
      if (written.kind === 'stale') return null;
      this.#tellStored(deliveries, written.stored);
      if (written.queued.length > 0) this.#options.rouse();
      return { delivered: written.stored.map(toDelivered), queued: written.queued };
    });
  }

  /** Finishes what was handed in. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running;
    await this.#mixedTurns.take(() => Promise.resolve());
    await this.#writer[Symbol.asyncDispose]();
    await this.#mixedWriter[Symbol.asyncDispose]();
  }

  #enqueue(message: SpooledMessage, outbound: readonly NewOutbound[]): Promise<readonly QueueId[]> {
    return this.#withBlob(message, (isUploaded) => {
      const settle = Promise.withResolvers<readonly QueueId[] | 'blob-gone'>();
      this.#waiting.push({ job: { message, isUploaded, outbound }, settle });
      this.#running ??= this.#run();
      return settle.promise;
    });
  }

  /** A large message's blob is stored before. Until the queue names it, the sweeper may take it: then again. */
  async #withBlob<T>(message: SpooledMessage, work: (isUploaded: boolean) => Promise<T | 'blob-gone'>): Promise<T> {
    const isUploaded = message.inMemory === null;
    for (let attempt = 1; attempt <= maxAttempts; attempt++) {
      if (isUploaded) await refusing(uploadBlob(this.#options.database.db, message));
      const result = await refusing(work(isUploaded));
      if (result !== 'blob-gone') return result;
    }
    throw new MailError({ kind: 'unavailable' });
  }

  async #run(): Promise<void> {
    // What arrives in the same turn of the event loop goes together.
    await new Promise(setImmediate);
    while (this.#waiting.length > 0) await this.#store(takeBatch(this.#waiting));
    this.#running = null;
  }

  /** Never rejects. */
  async #store(batch: readonly Waiting[]): Promise<void> {
    const { router, clock, expiryMs, rouse } = this.#options;
    try {
      const jobs = batch.map(({ job }) => job);
      const ids = await withRetries(() => this.#writer.enqueue(encodeOutbound(jobs, router, clock.now(), expiryMs)));
      if (ids === null && batch.length > 1) return await this.#storeEach(batch);
      let at = 0;
      for (const { job, settle } of batch) {
        settle.resolve(ids === null ? 'blob-gone' : ids.slice(at, at + job.outbound.length));
        at += job.outbound.length;
      }
      if (ids !== null) rouse();
    } catch (error) {
      const refusal = mailErrorOf(error);
      // One of them can't be stored, and must not take its neighbours with it.
      if (refusal === null && batch.length > 1) return await this.#storeEach(batch);
      for (const { settle } of batch) settle.reject(refusal ?? error);
    }
  }

  async #storeEach(batch: readonly Waiting[]): Promise<void> {
    for (const waiting of batch) await this.#store([waiting]);
  }

  #together(work: Together): Promise<Written> {
    return this.#mixedTurns.take(() => withRetries(() => this.#mixedWriter.together(work)));
  }

  #tellStored(deliveries: readonly Delivery[], stored: readonly Stored[]): void {
    const places = deliveries.map(({ accountId }, at) => ({ accountId, ...(stored[at] as Stored) }));
    for (const [accountId, ofAccount] of Map.groupBy(places, (place) => place.accountId)) {
      const mailboxIds = [...new Set(ofAccount.map(({ mailboxId }) => mailboxId))];
      this.#options.tell({ accountId, mailboxIds, modSeq: (ofAccount[0] as Stored).modSeq });
    }
  }
}

/** Again after what is certain not to be committed, and after two transactions were in each other's way. */
async function withRetries<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      const isWorthwhile = error instanceof NotCommitted || classifyPgError(error).kind === 'serialization';
      if (!isWorthwhile || attempt === maxAttempts) throw error instanceof NotCommitted ? error.cause : error;
    }
    await sleep(retryDelayMs(attempt, Math.random()));
  }
}

function takeBatch(waiting: Waiting[]): readonly Waiting[] {
  let bytes = 0;
  let count = 0;
  for (const { job } of waiting) {
    bytes += job.isUploaded ? 0 : job.message.size;
    if (count > 0 && (count === maxBatchJobs || bytes > maxBatchBytes)) break;
    count++;
  }
  return waiting.splice(0, count);
}

function toDelivered({ mailboxId, uid, modSeq }: Stored): Delivered {
  return { mailboxId, uid, modSeq };
}

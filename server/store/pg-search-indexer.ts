/**
 * Fills the search index behind the mail that arrives. Any number of servers may run one: an account is leased, and a
 * segment counts only where nobody else has gone on from the same place. It gives way to a process that is busy, though
 * not for ever.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AccountId } from '#shared/base/ids.ts';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { mailErrorOf } from './pg-fault.ts';
import { buildSegment } from './pg-search-builder.ts';
import {
  claim,
  findWaiting,
  joinedWidth,
  leaseSeconds,
  release,
  worthwhile,
  worthwhileAtRest,
} from './pg-search-queue.ts';
import { addSegment, joinSmallSegments } from './pg-search-segments.ts';
import { KnownColumns } from './search-columns.ts';
import type { StoreMetrics } from './store-metrics.ts';

export type SearchIndexerOptions = {
  readonly database: PostgresDatabase;
  readonly onError?: (error: unknown) => void;
  readonly metrics?: StoreMetrics;
};

/** From the news of mail to the look at how much there is: until no more has come for a moment, or so long. */
const lookMs = 1000;
const quietMs = 50;
/** From the last news of an account's mail to the indexing of what little is left. */
const restMs = 3000;
/** Mail that other servers stored is found so late. */
const sweepMs = 60_000;
/** Accounts indexed side by side: while the database reads or writes for one, the text of the other is looked at. */
const accountsAtOnce = 2;
/** Mail waits so long at most for the process to be less busy than this; from then on the work takes a third of the time. */
const maxPutOffMs = 10_000;
const restAfterWork = 3 * accountsAtOnce - 1;
/** The account's lease has to outlast it, with the work before and behind. */
const longestRestMs = (leaseSeconds * 1000) / 3;
const busyShare = 0.75;
const busyPauseMs = 25;
/** So long what was found out about the process holds: a look takes time, and accounts with little mail are many. */
const freeMs = 250;
/** After a failure, such as a database that is away. */
const failurePauseMs = 5000;

export class SearchIndexer implements AsyncDisposable {
  readonly #database: PostgresDatabase;
  readonly #onError: (error: unknown) => void;
  readonly #metrics: StoreMetrics | null;
  readonly #abort = new AbortController();
  readonly #heard = new Set<AccountId>();
  readonly #known = new KnownColumns();
  /** When news of these accounts were looked at last. */
  readonly #resting = new Map<AccountId, number>();
  #heardAt = 0;
  /** The process had time for it. */
  #freeUntil = 0;
  #news = Promise.withResolvers<void>();
  #running: Promise<void> | null = null;

  constructor({ database, onError = () => undefined, metrics }: SearchIndexerOptions) {
    this.#database = database;
    this.#onError = onError;
    this.#metrics = metrics ?? null;
  }

  /** Works in the background until disposed of. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** Something was stored in the account by this process. */
  hear(accountId: AccountId): void {
    this.#heard.add(accountId);
    this.#heardAt = performance.now();
    this.#news.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    this.#news.resolve();
    await this.#running;
  }

  /** Indexes all of an account's mail, however little. False: another server is at it, or there is no such account. */
  async indexAccount(accountId: AccountId): Promise<boolean> {
    const { db } = this.#database;
    const { signal } = this.#abort;
    const claimed = await claim(db, accountId);
    if (claimed === null) return false;
    let { to: from, narrow, narrowWidth } = claimed;
    const since = performance.now();
    let isOurs = true;
    let isLeased = true;
    try {
      for (let hasMore = true; hasMore && isOurs;) {
        await this.#giveWay(since);
        const startedAt = performance.now();
        const built = await buildSegment(db, accountId, from, signal, this.#known);
        if (!built) break;
        if (built.segment !== null && built.segment.width < joinedWidth) {
          narrow++;
          narrowWidth += built.segment.width;
        }
        isLeased = built.hasMore || (narrow > 1 && narrowWidth >= joinedWidth);
        isOurs = await addSegment(db, { accountId, from, to: built.to }, built.segment, !isLeased);
        if (isOurs) this.#metrics?.searchIndexed.inc(built.emails);
        this.#metrics?.searchQueue.dec(built.emails);
        from = built.to;
        hasMore = built.hasMore;
        if (hasMore && since + maxPutOffMs < startedAt)
          await this.#pause(Math.min(longestRestMs, restAfterWork * (performance.now() - startedAt)));
      }
      if (isOurs && isLeased && narrow > 1) await joinSmallSegments(db, accountId);
      return isOurs;
    } finally {
      if (isOurs && isLeased) await release(db, accountId);
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    let sweptAt = -Infinity;
    while (!signal.aborted) {
      try {
        const isSweep = performance.now() - sweptAt >= sweepMs;
        if (isSweep) sweptAt = performance.now();
        if (isSweep) await this.#indexWaiting(null, worthwhileAtRest);
        await this.#indexWaiting(this.#takeHeard(), worthwhile);
        await this.#indexWaiting(this.#takeRested(), worthwhileAtRest);
      } catch (error) {
        if (signal.aborted) return;
        this.#onError(error);
        await this.#pause(failurePauseMs);
      }
      const timer = setTimeout(() => this.#news.resolve(), this.#resting.size > 0 ? restMs : sweepMs).unref();
      await this.#news.promise;
      clearTimeout(timer);
      await this.#untilQuiet();
    }
  }

  async #untilQuiet(): Promise<void> {
    const since = performance.now();
    do await this.#pause(quietMs);
    while (
      performance.now() - since < lookMs &&
      performance.now() - this.#heardAt < quietMs &&
      !this.#abort.signal.aborted
    );
  }

  #takeHeard(): readonly AccountId[] {
    const heard = [...this.#heard];
    this.#heard.clear();
    this.#news = Promise.withResolvers();
    for (const accountId of heard) this.#resting.set(accountId, performance.now());
    return heard;
  }

  #takeRested(): readonly AccountId[] {
    const rested = [...this.#resting].filter(([, since]) => performance.now() - since >= restMs);
    for (const [accountId] of rested) this.#resting.delete(accountId);
    return rested.map(([accountId]) => accountId);
  }

  async #indexWaiting(accounts: readonly AccountId[] | null, enough: Parameters<typeof findWaiting>[2]): Promise<void> {
    if (accounts?.length === 0) return;
    const waiting = await findWaiting(this.#database.db, accounts, enough);
    this.#metrics?.searchQueue.set(waiting.reduce((sum, { emails }) => sum + emails, 0));
    const since = performance.now();
    const next = waiting.values();
    const work = async (): Promise<void> => {
      for (const { accountId } of next) {
        this.#metrics?.searchLag.set((performance.now() - since) / 1000);
        if (this.#abort.signal.aborted) return;
        // Where another server has it and stops in the middle, the sweep finds it again.
        await this.indexAccount(accountId).catch((error: unknown) => {
          if (this.#abort.signal.aborted || mailErrorOf(error)) throw error;
          this.#onError(error);
        });
      }
    };
    const ended = await Promise.allSettled(Array.from({ length: accountsAtOnce }, work));
    for (const one of ended) if (one.status === 'rejected') throw one.reason;
    this.#metrics?.searchQueue.set(0);
    this.#metrics?.searchLag.set(0);
  }

  /** Until the process has time, or mail has waited long enough. */
  async #giveWay(since: number): Promise<void> {
    const { signal } = this.#abort;
    for (let before = performance.eventLoopUtilization(); ;) {
      signal.throwIfAborted();
      if (performance.now() - since >= maxPutOffMs || performance.now() < this.#freeUntil) return;
      await this.#pause(busyPauseMs);
      if (performance.eventLoopUtilization(before).utilization < busyShare) {
        this.#freeUntil = performance.now() + freeMs;
        return;
      }
      before = performance.eventLoopUtilization();
    }
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#abort.signal, ref: false }).catch(() => undefined);
  }
}

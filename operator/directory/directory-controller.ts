/** When resources and rows are compared: at changes on either side, from time to time, and after what failed. */
import { setTimeout as sleep } from 'node:timers/promises';
import { ProgramFault } from '#shared/base/program-fault.ts';
import { listen } from '#shared/db/listen.ts';
import { checkSchema } from '#shared/db/migrate.ts';
import { claimChannel } from '#shared/directory/domain-claims.ts';
import { directoryChannel, StaleEpoch } from '#shared/reconcile/leader-epoch.ts';
import type { MailServer } from '#operator/api/mail-server.ts';
import type { OperatorFoundation } from '#operator/foundation/operator-foundation.ts';
import { ownCaches } from '#operator/foundation/resource-caches.ts';
import { KubeError } from '#operator/kube/kube-error.ts';
import { databaseTrouble, schemaTrouble, type DatabaseTrouble } from './database-state.ts';
import { DirectoryRunner, type RunResult } from './directory-runner.ts';
import { differsInWish, type ObjectReader } from './gathered-objects.ts';
import { reportPending } from './pending-reports.ts';
import { repeatMs, restMs } from './rest.ts';

/** Changes come in crowds; so long after the first of them, in ms. */
const settleMs = 50;
const shortestRetryMs = 1_000;
const longestRetryMs = 60_000;
/** A database that is back is noticed soon. */
const longestDatabaseRetryMs = 5_000;
/** A newer release may change the schema while we run. */
const schemaMs = 60_000;
/** A row that is changed by hand while we look is no reason to worry. */
const repeatsToTell = 5;
/** A timer's longest time. */
const longestTimerMs = 2 ** 31 - 1;

type Cause = 'start' | 'change' | 'notify' | 'sweep' | 'retry' | 'due';

export class DirectoryController implements AsyncDisposable {
  readonly #foundation: OperatorFoundation;
  readonly #runner: DirectoryRunner;
  readonly #stopping = new AbortController();
  readonly #subscriptions = new AsyncDisposableStack();
  readonly #running: Promise<void>;
  #wanted: Cause | null = 'start';
  #wake: () => void = () => undefined;
  /** Resources whose deletion was seen and not yet dealt with. */
  #deleted = new Set<string>();
  #failures = 0;
  /** Runs in a row that did again what the one before them had done. */
  #repeated = 0;
  #schemaSeenAt = -Infinity;

  private constructor(foundation: OperatorFoundation, objects: ObjectReader) {
    this.#foundation = foundation;
    this.#runner = new DirectoryRunner(foundation, objects);
    this.#subscribe();
    this.#running = this.#work();
  }

  /** Begins with a comparison at once. */
  static open(foundation: OperatorFoundation, objects: ObjectReader): DirectoryController {
    return new DirectoryController(foundation, objects);
  }

  /** Lets a comparison that runs come to its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#subscriptions.disposeAsync();
    await this.#running;
  }

  #subscribe(): void {
    const { resources, database, logger } = this.#foundation;
    for (const cache of ownCaches(resources)) {
      const subscription = cache.onChange((change) => {
        // What a new list merely lacks may be missing for another reason: of that the guard of mass-detach.ts decides.
        if (change.kind === 'deleted' && change.isInferred !== true) this.#deleted.add(change.object.metadata.uid);
        if (change.kind !== 'changed' || differsInWish(change.old, change.object)) this.#want('change');
      });
      this.#subscriptions.use(subscription);
    }
    this.#subscriptions.use(resources.namespaces.onChange(() => this.#want('change')));
    this.#subscriptions.use(
      resources.otherServers.onChange((change) => {
        // Which other releases there are.
        if (change.kind !== 'changed' || hasStatus(change.old) !== hasStatus(change.object)) this.#want('change');
      }),
    );
    this.#subscriptions.use(resources.managedSecrets.onChange(() => this.#want('change')));
    this.#subscriptions.use(
      resources.otherSecrets.onChange(({ object }) => {
        if (this.#runner.concerns(object)) this.#want('change');
      }),
    );
    for (const channel of [directoryChannel, claimChannel]) {
      const heard = (): void => this.#want('notify');
      const onError = (err: unknown): void =>
        logger.debug({ event: 'directory.listen-lost', channel, err }, 'listening again soon');
      this.#subscriptions.use(listen({ database, channel, listener: { heard, gap: heard }, onError }));
    }
  }

  #want(cause: Cause): void {
    this.#wanted ??= cause;
    this.#wake();
  }

  async #work(): Promise<void> {
    const { signal } = this.#stopping;
    let waitMs = 0;
    while (!signal.aborted && !this.#foundation.lost.aborted) {
      await this.#untilWanted(waitMs);
      if (signal.aborted || this.#foundation.lost.aborted) return;
      const cause = this.#wanted ?? 'sweep';
      this.#wanted = null;
      waitMs = await this.#run(cause);
    }
  }

  /** A change, or `atMostMs`; then until the crowd of changes is over. */
  async #untilWanted(atMostMs: number): Promise<void> {
    const { signal } = this.#stopping;
    if (this.#wanted === null && atMostMs > 0) {
      const woken = new AbortController();
      this.#wake = () => woken.abort();
      const either = AbortSignal.any([signal, woken.signal]);
      await sleep(Math.min(atMostMs, longestTimerMs), undefined, { signal: either }).catch(() => undefined);
      this.#wake = () => undefined;
    }
    // Also before what was done is read: who waits for one change often makes the next one then.
    if (this.#wanted !== null && this.#wanted !== 'start') {
      await sleep(settleMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Resolves with how long nothing needs to be done, in ms. */
  async #run(cause: Cause): Promise<number> {
    const { metrics, clock } = this.#foundation;
    const deleted = this.#deleted;
    this.#deleted = new Set();
    try {
      await this.#checkSchema();
      const result = await this.#runner.run(deleted);
      this.#failures = 0;
      metrics.passes.inc({ cause, outcome: result.changes > 0 ? 'changed' : 'same' });
      // What was cut short still has to know of them.
      if (result.isMore) for (const uid of deleted) this.#deleted.add(uid);
      return this.#restAfter(result, clock.now());
    } catch (error) {
      for (const uid of deleted) this.#deleted.add(uid);
      return await this.#failed(cause, error);
    }
  }

  async #checkSchema(): Promise<void> {
    const { database, clock } = this.#foundation;
    if (clock.monotonicMs() - this.#schemaSeenAt < schemaMs) return;
    await checkSchema(database);
    this.#schemaSeenAt = clock.monotonicMs();
  }

  #restAfter(result: RunResult, now: Date): number {
    this.#repeated = result.isRepeating ? this.#repeated + 1 : 0;
    if (result.isRepeating) {
      const waitMs = repeatMs(this.#repeated);
      const message = 'what was done a moment ago had to be done again; somebody else may be undoing it';
      const level = this.#repeated === repeatsToTell ? 'warn' : 'debug';
      this.#foundation.logger[level]({ event: 'directory.repeating', times: this.#repeated, waitMs }, message);
      return waitMs;
    }
    if (result.isMore) {
      this.#wanted ??= 'retry';
      return 0;
    }
    return restMs(result, now, this.#foundation.config.sweepSeconds * 1000);
  }

  async #failed(cause: Cause, error: unknown): Promise<number> {
    const { metrics, logger, deposed } = this.#foundation;
    if (error instanceof StaleEpoch) {
      deposed(error);
      return longestTimerMs;
    }
    const trouble = error instanceof ProgramFault ? schemaTrouble(error) : databaseTrouble(error);
    metrics.passes.inc({ cause, outcome: trouble ? 'unavailable' : 'failed' });
    const longest = trouble ? longestDatabaseRetryMs : longestRetryMs;
    const waitMs = Math.min(longest, shortestRetryMs * 2 ** this.#failures);
    this.#failures += 1;
    const level = this.#failures === 1 ? 'warn' : 'debug';
    if (trouble) logger[level]({ event: 'directory.database-away', err: error }, trouble.message);
    else if (error instanceof KubeError) logger[level]({ event: 'directory.api-away', err: error }, 'tried again soon');
    else logger.error({ event: 'directory.failed', err: error }, 'the directory could not be compared; tried again');
    if (trouble) await this.#tellPending(trouble);
    return waitMs;
  }

  async #tellPending(trouble: DatabaseTrouble): Promise<void> {
    try {
      await reportPending(this.#foundation, trouble);
    } catch (err) {
      this.#foundation.logger.warn({ event: 'directory.report-failed', err }, 'tried again soon');
    }
  }
}

function hasStatus({ status }: MailServer): boolean {
  return status?.conditions !== undefined;
}

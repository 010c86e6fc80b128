/**
 * When resources and rows are compared: at changes on either side, from time to time, and after what failed. What is to
 * be compared when is run-schedule.ts's to say.
 */
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
import type { Secret } from '#operator/kube/core-resources.ts';
import { databaseTrouble, schemaTrouble, type DatabaseTrouble } from './database-state.ts';
import { DirectoryRunner, type RunResult } from './directory-runner.ts';
import { differsInWish, type ObjectReader } from './gathered-objects.ts';
import { reportPending } from './pending-reports.ts';
import { repeatMs, restMs } from './rest.ts';
import { RunSchedule, type Cause } from './run-schedule.ts';

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

export class DirectoryController implements AsyncDisposable {
  readonly #foundation: OperatorFoundation;
  readonly #runner: DirectoryRunner;
  readonly #stopping = new AbortController();
  readonly #subscriptions = new AsyncDisposableStack();
  readonly #running: Promise<void>;
  readonly #schedule: RunSchedule;
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
    this.#schedule = new RunSchedule(foundation.clock);
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
        const { uid } = change.object.metadata;
        if (change.kind === 'deleted' && change.isInferred !== true) this.#deleted.add(uid);
        if (change.kind === 'changed' && !differsInWish(change.old, change.object)) return;
        if (change.object.kind === 'Mailbox' && change.kind !== 'deleted') this.#touch([uid]);
        else this.#want('change');
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
    this.#subscriptions.use(
      resources.managedSecrets.onChange(({ object }) => {
        const uid = this.#runner.ownerOf(object);
        if (uid === null) this.#want('change');
        else this.#touch([uid]);
      }),
    );
    this.#subscriptions.use(resources.otherSecrets.onChange(({ object }) => this.#secretChanged(object)));
    for (const channel of [directoryChannel, claimChannel]) {
      const heard = (): void => this.#want('notify');
      const onError = (err: unknown): void =>
        logger.debug({ event: 'directory.listen-lost', channel, err }, 'listening again soon');
      this.#subscriptions.use(listen({ database, channel, listener: { heard, gap: heard }, onError }));
    }
  }

  #secretChanged(secret: Secret): void {
    const concerned = this.#runner.concernedBy(secret);
    if (concerned === 'others') this.#want('change');
    else if (concerned.length > 0) this.#touch(concerned);
  }

  #want(cause: Cause): void {
    this.#schedule.want(cause);
    this.#wake();
  }

  #touch(uids: readonly string[]): void {
    for (const uid of uids) this.#schedule.touch(uid);
    this.#wake();
  }

  async #work(): Promise<void> {
    const { signal } = this.#stopping;
    let isFirst = true;
    while (!signal.aborted && !this.#foundation.lost.aborted) {
      if (!isFirst) await this.#untilDue();
      isFirst = false;
      if (signal.aborted || this.#foundation.lost.aborted) return;
      const run = this.#schedule.next();
      await (run.kind === 'whole' ? this.#runWhole(run.cause) : this.#runPart(run.uids));
    }
  }

  /** Until there is something to do; then until the crowd of changes is over. */
  async #untilDue(): Promise<void> {
    const { signal } = this.#stopping;
    const atMostMs = this.#schedule.restMs();
    if (atMostMs > 0) {
      const woken = new AbortController();
      this.#wake = () => woken.abort();
      const either = AbortSignal.any([signal, woken.signal]);
      await sleep(Math.min(atMostMs, longestTimerMs), undefined, { signal: either }).catch(() => undefined);
      this.#wake = () => undefined;
    }
    // Also before what was done is read: who waits for one change often makes the next one then.
    if (this.#schedule.restMs() === 0) await sleep(settleMs, undefined, { signal }).catch(() => undefined);
  }

  async #runWhole(cause: Cause): Promise<void> {
    const { metrics, clock } = this.#foundation;
    const deleted = this.#deleted;
    this.#deleted = new Set();
    const startedAt = clock.monotonicMs();
    try {
      await this.#checkSchema();
      const result = await this.#runner.run(deleted);
      this.#failures = 0;
      metrics.passes.inc({ cause, outcome: result.changes > 0 ? 'changed' : 'same' });
      // What was cut short still has to know of them.
      if (result.more === 'everything') for (const uid of deleted) this.#deleted.add(uid);
      this.#schedule.compared(clock.monotonicMs() - startedAt);
      this.#planAfter(result, clock.now());
    } catch (error) {
      for (const uid of deleted) this.#deleted.add(uid);
      this.#schedule.failed(await this.#failed(cause, error));
    }
  }

  async #runPart(uids: ReadonlySet<string>): Promise<void> {
    const { metrics, clock } = this.#foundation;
    try {
      await this.#checkSchema();
      const result = await this.#runner.runPart(uids);
      metrics.parts.inc({ outcome: outcomeOf(result) });
      if (result === null) this.#want('change');
      else this.#planAfter(result, clock.now());
    } catch (error) {
      this.#schedule.failed(await this.#failed('change', error));
    }
  }

  async #checkSchema(): Promise<void> {
    const { database, clock } = this.#foundation;
    if (clock.monotonicMs() - this.#schemaSeenAt < schemaMs) return;
    await checkSchema(database);
    this.#schemaSeenAt = clock.monotonicMs();
  }

  #planAfter(result: RunResult, now: Date): void {
    this.#repeated = result.isRepeating ? this.#repeated + 1 : 0;
    if (result.isRepeating) {
      const waitMs = repeatMs(this.#repeated);
      const message = 'what was done a moment ago had to be done again; somebody else may be undoing it';
      const level = this.#repeated === repeatsToTell ? 'warn' : 'debug';
      this.#foundation.logger[level]({ event: 'directory.repeating', times: this.#repeated, waitMs }, message);
      this.#schedule.sweepIn(waitMs);
    } else if (result.more === 'everything') {
      this.#schedule.want('retry');
    } else {
      if (result.more !== 'nothing') this.#schedule.follow(result.more);
      this.#schedule.sweepIn(restMs(result, now, this.#foundation.config.sweepSeconds * 1000));
    }
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

function outcomeOf(result: RunResult | null): string {
  if (result === null) return 'whole';
  return result.changes > 0 ? 'changed' : 'same';
}

function hasStatus({ status }: MailServer): boolean {
  return status?.conditions !== undefined;
}

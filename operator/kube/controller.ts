/** Workers that take keys from a queue and make them so. */
import type { Clock } from '#shared/base/clock.ts';
import type { KubeMetrics } from '#shared/observe/kube-metrics.ts';
import type { Logger } from '#shared/observe/logger.ts';
import { isConflict } from './kube-error.ts';
import { WorkQueue, type Priority } from './work-queue.ts';

/** Trying again cannot mend it: counted as a failure, not tried again before the key is enqueued anew. */
export class TerminalError extends Error {
  override readonly name = 'TerminalError';
}

/** `afterMs`: look again after so long though nothing changes. */
export type ReconcileResult = { readonly afterMs?: number };

export type ControllerOptions = {
  readonly name: string;
  /** How many keys at a time; never one key twice at a time. */
  readonly workers: number;
  /** Throws: tried again with a growing wait (0.5 s to 5 min, with jitter). `signal`: the controller stops. */
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<ReconcileResult | void>;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  readonly clock: Clock;
};

export type EnqueueOptions = {
  readonly priority?: Priority;
  readonly afterMs?: number;
};

const observeMs = 1_000;

export class Controller implements AsyncDisposable {
  readonly #options: ControllerOptions;
  readonly #logger: Logger;
  readonly #label: { readonly controller: string };
  readonly #queue: WorkQueue;
  readonly #stopping = new AbortController();
  #workers: readonly Promise<void>[] = [];
  #observing: NodeJS.Timeout | null = null;

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#logger = options.logger.child({ controller: options.name });
    this.#label = { controller: options.name };
    this.#queue = new WorkQueue(options);
    options.metrics.maxConcurrentReconciles.set(this.#label, options.workers);
    options.metrics.activeWorkers.set(this.#label, 0);
    // There before the first one, which would be no increase else.
    options.metrics.reconcileErrors.inc(this.#label, 0);
  }

  /** Begins to work. Keys may be enqueued before. */
  start(): void {
    if (this.#workers.length > 0 || this.#stopping.signal.aborted) return;
    this.#workers = Array.from({ length: this.#options.workers }, () => this.#work());
    this.#observing = setInterval(() => this.#queue.observe(), observeMs).unref();
  }

  enqueue(key: string, { priority = 'normal', afterMs = 0 }: EnqueueOptions = {}): void {
    this.#queue.addAfter(key, afterMs, priority);
  }

  /** Takes no more keys, aborts the signal of what is being done and waits for it. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error(`the controller ${this.#options.name} stops`));
    this.#queue.close();
    clearInterval(this.#observing ?? undefined);
    await Promise.all(this.#workers);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #work(): Promise<void> {
    const { metrics } = this.#options;
    for (let key = await this.#queue.take(); key !== null; key = await this.#queue.take()) {
      metrics.activeWorkers.inc(this.#label);
      try {
        await this.#reconcile(key);
      } finally {
        metrics.activeWorkers.dec(this.#label);
        this.#queue.done(key);
      }
    }
  }

  /** Never fails. */
  async #reconcile(key: string): Promise<void> {
    const { metrics, clock, reconcile } = this.#options;
    const startedAt = clock.monotonicMs();
    try {
      const result = await reconcile(key, this.#stopping.signal);
      this.#queue.forget(key);
      const afterMs = result?.afterMs;
      if (afterMs !== undefined) this.#queue.addAfter(key, afterMs);
      metrics.reconciles.inc({ ...this.#label, result: afterMs === undefined ? 'success' : 'requeue_after' });
    } catch (error) {
      if (!this.#stopping.signal.aborted) this.#failed(key, error);
    } finally {
      metrics.reconcileSeconds.observe(this.#label, (clock.monotonicMs() - startedAt) / 1000);
    }
  }

  #failed(key: string, error: unknown): void {
    const { metrics } = this.#options;
    if (isConflict(error)) {
      // Somebody else was quicker: no failure, the next look sees what they did.
      metrics.reconciles.inc({ ...this.#label, result: 'requeue' });
      this.#queue.addFailed(key);
      return;
    }
    metrics.reconciles.inc({ ...this.#label, result: 'error' });
    metrics.reconcileErrors.inc(this.#label);
    if (isFaultOfProgram(error)) metrics.reconcilePanics.inc(this.#label);
    if (error instanceof TerminalError) {
      metrics.terminalReconcileErrors.inc(this.#label);
      this.#queue.forget(key);
      this.#logger.warn({ event: 'kube.reconcile.failed', key, isFinal: true, err: error });
      return;
    }
    const failures = this.#queue.failuresOf(key) + 1;
    const retryMs = Math.round(this.#queue.addFailed(key));
    this.#logger.warn({ event: 'kube.reconcile.failed', key, failures, retryMs, err: error });
  }
}

/** What Go would call a panic. */
function isFaultOfProgram(error: unknown): boolean {
  return error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
}

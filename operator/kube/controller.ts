/** Workers that take keys from a queue and make them so. */
import type { Clock } from '#shared/base/clock.ts';
import type { KubeMetrics } from '#shared/observe/kube-metrics.ts';
import type { Logger } from '#shared/observe/logger.ts';

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
  /** `high` goes before `normal`; `low` (resync) waits for both. */
  readonly priority?: 'high' | 'normal' | 'low';
  readonly afterMs?: number;
};

export class Controller implements AsyncDisposable {
  constructor(_options: ControllerOptions) {}

  /** Begins to work. Keys may be enqueued before. */
  start(): void {
    throw new Error('not yet');
  }

  enqueue(_key: string, _options: EnqueueOptions = {}): void {
    throw new Error('not yet');
  }

  /** Takes no more keys, aborts the signal of what is being done and waits for it. */
  async stop(): Promise<void> {}

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

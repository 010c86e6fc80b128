/** How long the queue is, for `/metrics`: counted again and again, rarer where counting takes long. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Clock } from '#shared/base/clock.ts';
import type { Logger } from '#shared/observe/logger.ts';
import { directRoute, type QueueAdministration } from '#server/mail/outbound-ports.ts';
import type { OutboundMetrics } from './outbound-metrics.ts';

export type QueueGaugesOptions = {
  readonly statistics: Pick<QueueAdministration, 'statistics'>;
  readonly metrics: Pick<OutboundMetrics, 'queueDepth' | 'queueOldestSeconds'>;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly logger: Pick<Logger, 'debug'>;
  /** 0 to 1. */
  readonly random: () => number;
  /** Resolves after so many ms, or once counting is over. */
  readonly pause?: (ms: number, over: AbortSignal) => Promise<unknown>;
};

/** A count reads every row of the queue. A hundredth of the time may go into it, so that autoscaling is quick. */
const restPerCount = 99;
const leastPauseMs = 5_000;
const mostPauseMs = 60_000;
const usualGroup = { state: 'queued', priority: 'normal', route: directRoute } as const;

/** Resolves when `over` is aborted. A count that fails leaves the gauges as they are. */
export async function keepCounting(options: QueueGaugesOptions, over: AbortSignal): Promise<void> {
  const { clock, logger, random, pause = sleepUnlessOver } = options;
  while (!over.aborted) {
    const startedAt = clock.monotonicMs();
    try {
      await count(options);
    } catch (err) {
      logger.debug({ event: 'queue.count-failed', err }, 'the queue could not be counted');
    }
    const restMs = (clock.monotonicMs() - startedAt) * restPerCount;
    const pauseMs = Math.min(Math.max(restMs, leastPauseMs), mostPauseMs);
    // Not all processes at the same time.
    await pause(pauseMs * (0.5 + random()), over);
  }
}

async function count({ statistics, metrics }: QueueGaugesOptions): Promise<void> {
  const { groups } = await statistics.statistics();
  metrics.queueDepth.reset();
  metrics.queueOldestSeconds.reset();
  // An empty queue is no missing one, to who scales by it.
  metrics.queueDepth.set(usualGroup, 0);
  metrics.queueOldestSeconds.set(usualGroup, 0);
  for (const { state, priority, route, recipients, oldestSeconds } of groups) {
    metrics.queueDepth.set({ state, priority, route }, recipients);
    metrics.queueOldestSeconds.set({ state, priority, route }, oldestSeconds);
  }
}

async function sleepUnlessOver(ms: number, over: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal: over, ref: false }).catch(() => undefined);
}

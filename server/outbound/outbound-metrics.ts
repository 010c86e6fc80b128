import type { Metrics } from '#shared/observe/metrics.ts';

/** What the queue's worker counts. */
export type OutboundMetrics = Pick<
  Metrics,
  | 'queueDepth'
  | 'queueOldestSeconds'
  | 'queueLanes'
  | 'queueClaimSeconds'
  | 'queueLapsedLanes'
  | 'queueWriteRetries'
  | 'outboundOutcomes'
  | 'outboundBounces'
  | 'outboundAttemptSeconds'
  | 'outboundDeliverySeconds'
>;

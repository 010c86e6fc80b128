import type { Metrics } from '#shared/observe/metrics.ts';

/** What the store, its feed and its janitor count. */
export type StoreMetrics = Pick<
  Metrics,
  | 'messagesStored'
  | 'bytesStored'
  | 'deliveryBatchMessages'
  | 'deliveryBatchSeconds'
  | 'deliveryRetries'
  | 'changeNotifications'
  | 'changeFeedSeconds'
  | 'sweeps'
  | 'sweptRows'
>;

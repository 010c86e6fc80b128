import type { Metrics } from '#shared/observe/metrics.ts';

/** What the store, its feed, its janitor and its search index count. */
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
  | 'searchQueue'
  | 'searchIndexed'
  | 'searchLag'
>;

/**
 * Metrics of a program that talks to a Kubernetes API server. Names and labels are those of controller-runtime and
 * client-go where they have one, so that ready-made dashboards show them; the rest begins with `postrider_`.
 */
import type { MetricTable, MetricsOf } from './metric-table.ts';

const reconcileBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const queueBuckets = [0.0001, 0.001, 0.01, 0.1, 0.5, 1, 5, 10, 60, 300];
const requestBuckets = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60];

export const kubeMetricTable = {
  reconciles: {
    type: 'counter',
    name: 'controller_runtime_reconcile_total',
    help: 'Reconciliations, by controller and result (success, error, requeue, requeue_after).',
    labels: ['controller', 'result'],
  },
  reconcileErrors: {
    type: 'counter',
    name: 'controller_runtime_reconcile_errors_total',
    help: 'Reconciliations that failed.',
    labels: ['controller'],
  },
  terminalReconcileErrors: {
    type: 'counter',
    name: 'controller_runtime_terminal_reconcile_errors_total',
    help: 'Reconciliations that failed in a way that trying again cannot mend.',
    labels: ['controller'],
  },
  reconcilePanics: {
    type: 'counter',
    name: 'controller_runtime_reconcile_panics_total',
    help: 'Reconciliations that ended in a fault of the program (TypeError, RangeError, ReferenceError).',
    labels: ['controller'],
  },
  reconcileSeconds: {
    type: 'histogram',
    name: 'controller_runtime_reconcile_time_seconds',
    help: 'Time of one reconciliation.',
    labels: ['controller'],
    buckets: reconcileBuckets,
  },
  maxConcurrentReconciles: {
    type: 'gauge',
    name: 'controller_runtime_max_concurrent_reconciles',
    help: 'Workers of a controller.',
    labels: ['controller'],
  },
  activeWorkers: {
    type: 'gauge',
    name: 'controller_runtime_active_workers',
    help: 'Workers of a controller that are at work now.',
    labels: ['controller'],
  },
  queueDepth: {
    type: 'gauge',
    name: 'workqueue_depth',
    help: 'Keys that wait for a worker.',
    labels: ['name'],
  },
  queueAdds: {
    type: 'counter',
    name: 'workqueue_adds_total',
    help: 'Keys put into the queue; one that waits already is not counted again.',
    labels: ['name'],
  },
  queueWaitSeconds: {
    type: 'histogram',
    name: 'workqueue_queue_duration_seconds',
    help: 'Time that a key waited for a worker.',
    labels: ['name'],
    buckets: queueBuckets,
  },
  queueWorkSeconds: {
    type: 'histogram',
    name: 'workqueue_work_duration_seconds',
    help: 'Time that a worker had a key.',
    labels: ['name'],
    buckets: queueBuckets,
  },
  queueUnfinishedSeconds: {
    type: 'gauge',
    name: 'workqueue_unfinished_work_seconds',
    help: 'Seconds that the keys which workers have now have been with them, summed. One that grows is stuck.',
    labels: ['name'],
  },
  queueLongestSeconds: {
    type: 'gauge',
    name: 'workqueue_longest_running_processor_seconds',
    help: 'Seconds that the key which has been with a worker longest has been there.',
    labels: ['name'],
  },
  queueRetries: {
    type: 'counter',
    name: 'workqueue_retries_total',
    help: 'Keys put back after a failure.',
    labels: ['name'],
  },
  requests: {
    type: 'counter',
    name: 'rest_client_requests_total',
    help: 'Requests to the API server, by code (<error> where no answer came) and method.',
    labels: ['code', 'method', 'host'],
  },
  requestSeconds: {
    type: 'histogram',
    name: 'rest_client_request_duration_seconds',
    help: 'Time from a request to the whole of its answer; watches are not counted.',
    labels: ['verb', 'host'],
    buckets: requestBuckets,
  },
  requestRetries: {
    type: 'counter',
    name: 'rest_client_request_retries_total',
    help: 'Requests sent again after a failure.',
    labels: ['code', 'verb', 'host'],
  },
  rateLimiterSeconds: {
    type: 'histogram',
    name: 'rest_client_rate_limiter_duration_seconds',
    help: 'Time that a request waited for its turn in this program.',
    labels: ['verb', 'host'],
    buckets: requestBuckets,
  },
  isLeader: {
    type: 'gauge',
    name: 'leader_election_master_status',
    help: '1 in the process that holds the lease, else 0.',
    labels: ['name'],
  },
  informerObjects: {
    type: 'gauge',
    name: 'postrider_informer_objects',
    help: 'Objects of a kind that the cache holds.',
    labels: ['kind'],
  },
  informerSynced: {
    type: 'gauge',
    name: 'postrider_informer_synced',
    help: '1 when the cache of a kind has been filled once, else 0.',
    labels: ['kind'],
  },
  informerHeard: {
    type: 'gauge',
    name: 'postrider_informer_last_heard_timestamp_seconds',
    help: 'When the API server was last heard on the watch of a kind (an event or a bookmark), in seconds since 1970.',
    labels: ['kind'],
  },
  informerLists: {
    type: 'counter',
    name: 'postrider_informer_lists_total',
    help: 'Whole lists that the cache of a kind was filled from, by reason (start, expired, failed).',
    labels: ['kind', 'reason'],
  },
  informerWatches: {
    type: 'counter',
    name: 'postrider_informer_watches_total',
    help: 'Watches that ended, by reason (closed, idle, expired, failed).',
    labels: ['kind', 'reason'],
  },
  informerHandlerFailures: {
    type: 'counter',
    name: 'postrider_informer_handler_failures_total',
    help: 'Listeners to the changes of a kind that threw; the others heard of the change all the same.',
    labels: ['kind'],
  },
  events: {
    type: 'counter',
    name: 'postrider_kube_events_total',
    help: 'Events for objects, by outcome (written, suppressed, failed).',
    labels: ['outcome'],
  },
} as const satisfies MetricTable;

/** What `operator/kube` counts with. */
export type KubeMetrics = MetricsOf<typeof kubeMetricTable>;

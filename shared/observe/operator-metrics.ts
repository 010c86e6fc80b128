/** Metrics of the operator beside those of its Kubernetes client (kube-metrics.ts). */
import { Registry, collectDefaultMetrics } from 'prom-client';
import { kubeMetricTable, type KubeMetrics } from './kube-metrics.ts';
import { createMetricsOf, type MetricTable, type MetricsOf } from './metric-table.ts';

const passBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export const operatorMetricTable = {
  objects: {
    type: 'gauge',
    name: 'postrider_operator_objects',
    help: 'Resources of a kind, by the status of Ready (True, False, Unknown) and its reason.',
    labels: ['kind', 'ready', 'reason'],
  },
  objectReady: {
    type: 'gauge',
    name: 'postrider_operator_object_ready',
    help: '1 where Ready is True, else 0: of each MailServer and MailDomain.',
    labels: ['kind', 'resource_namespace', 'name'],
  },
  passes: {
    type: 'counter',
    name: 'postrider_operator_directory_passes_total',
    help: 'Comparisons of all resources with all rows, by cause (start, change, notify, retry, sweep, confirm: after parts) and outcome (same, changed, unavailable, failed).',
    labels: ['cause', 'outcome'],
  },
  parts: {
    type: 'counter',
    name: 'postrider_operator_directory_parts_total',
    help: 'Comparisons of Mailboxes that changed with their rows alone, by outcome (same, changed, whole: everything was to be compared).',
    labels: ['outcome'],
    atStart: ['same', 'changed', 'whole'],
  },
  passSeconds: {
    type: 'histogram',
    name: 'postrider_operator_directory_pass_seconds',
    help: 'Time of one comparison, without what it made to do.',
    labels: [],
    buckets: passBuckets,
  },
  actions: {
    type: 'counter',
    name: 'postrider_operator_directory_actions_total',
    help: 'Changes made to the directory in the database, by action.',
    labels: ['action'],
  },
  passwordsGenerated: {
    type: 'counter',
    name: 'postrider_operator_passwords_generated_total',
    help: 'Passwords made and written to a Secret, by kind of resource.',
    labels: ['kind'],
  },
  massDetachBlocked: {
    type: 'gauge',
    name: 'postrider_operator_mass_detach_blocked',
    help: 'Rows that lost their resource and are kept in use, because they are too many at a time; 0 in good times.',
    labels: [],
  },
  dkimKeys: {
    type: 'gauge',
    name: 'postrider_operator_dkim_keys',
    help: 'Keys that sign, will or did, of all domains, by state (Pending, Active, Retiring).',
    labels: ['state'],
    atStart: ['Pending', 'Active', 'Retiring'],
  },
  certificateExpiry: {
    type: 'gauge',
    name: 'postrider_operator_certificate_expiry_timestamp_seconds',
    help: 'When the certificate of a MailServer or of a MailDomain with one of its own ends, in seconds since 1970.',
    labels: ['kind', 'resource_namespace', 'name'],
  },
  dnsRecords: {
    type: 'gauge',
    name: 'postrider_operator_dns_records',
    help: 'DNS records that domains need, by state (Published, Missing, Mismatch, Unknown).',
    labels: ['state'],
    atStart: ['Published', 'Missing', 'Mismatch', 'Unknown'],
  },
  databaseUp: {
    type: 'gauge',
    name: 'postrider_database_up',
    help: 'Whether the database answered when it was last asked: 1 or 0.',
    labels: [],
  },
  info: {
    type: 'gauge',
    name: 'postrider_operator_info',
    help: 'Always 1; the label says which version runs.',
    labels: ['version'],
  },
} as const satisfies MetricTable;

/** What the operator counts with. */
export type OperatorMetrics = KubeMetrics &
  MetricsOf<typeof operatorMetricTable> & {
    /** What `/metrics` prints. */
    readonly registry: Registry;
  };

/** A set of metrics of its own. `process`: with those of the process, once a process. */
export function createOperatorMetrics(options: { readonly process: boolean } = { process: false }): OperatorMetrics {
  const registry = new Registry();
  if (options.process) collectDefaultMetrics({ register: registry });
  return {
    registry,
    ...createMetricsOf(kubeMetricTable, registry),
    ...createMetricsOf(operatorMetricTable, registry),
  };
}

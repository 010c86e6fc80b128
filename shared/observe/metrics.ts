/**
 * Every metric of the server, in one table: name, help, labels, buckets. Labels are roles, verbs and kinds of
 * outcome, never an address, a mailbox or anything else a peer can invent, so the number of series is bounded.
 * `docs/metrics.md` is made from this table.
 */
import { Registry, collectDefaultMetrics } from 'prom-client';
import { createMetricsOf, type MetricTable, type MetricsOf } from './metric-table.ts';

const fast = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const counts = [1, 2, 5, 10, 20, 50, 100, 200];

export const metricTable = {
  connectionsOpened: {
    type: 'counter',
    name: 'postrider_connections_opened_total',
    help: 'Connections accepted.',
    labels: ['listener'],
  },
  connectionsOpen: {
    type: 'gauge',
    name: 'postrider_connections_open',
    help: 'Connections open now.',
    labels: ['listener'],
  },
  connectionsRefused: {
    type: 'counter',
    name: 'postrider_connections_refused_total',
    help: 'Connections turned away, by reason (listener-full, address-full, stopping).',
    labels: ['listener', 'reason'],
  },
  tlsHandshakeFailures: {
    type: 'counter',
    name: 'postrider_tls_handshake_failures_total',
    help: 'TLS handshakes that failed, implicit or after STARTTLS.',
    labels: ['listener'],
  },
  smtpTransactions: {
    type: 'counter',
    name: 'postrider_smtp_transactions_total',
    help: 'SMTP transactions that reached DATA, by outcome (accepted, refused, later, aborted).',
    labels: ['listener', 'outcome'],
  },
  smtpReplies: {
    type: 'counter',
    name: 'postrider_smtp_replies_total',
    help: 'Replies to MAIL, RCPT and DATA, by class of code (2, 4 or 5).',
    labels: ['listener', 'verb', 'class'],
  },
  smtpDataSeconds: {
    type: 'histogram',
    name: 'postrider_smtp_data_seconds',
    help: 'From the end of DATA to its reply.',
    labels: ['listener'],
    buckets: fast,
  },
  messagesReceived: {
    type: 'counter',
    name: 'postrider_messages_received_total',
    help: 'Messages received whole, before it was decided what becomes of them.',
    labels: ['listener'],
  },
  bytesReceived: {
    type: 'counter',
    name: 'postrider_message_bytes_received_total',
    help: 'Bytes of the messages received.',
    labels: ['listener'],
  },
  messagesStored: {
    type: 'counter',
    name: 'postrider_messages_stored_total',
    help: 'Messages put into mailboxes, one for each mailbox, by source (delivery, append).',
    labels: ['source'],
    atStart: ['delivery', 'append'],
  },
  bytesStored: {
    type: 'counter',
    name: 'postrider_message_bytes_stored_total',
    help: 'Their bytes, counted for each mailbox though they are stored once.',
    labels: ['source'],
    atStart: ['delivery', 'append'],
  },
  deliveryBatchMessages: {
    type: 'histogram',
    name: 'postrider_delivery_batch_messages',
    help: 'Messages that shared one transaction.',
    labels: [],
    buckets: counts,
  },
  deliveryBatchSeconds: {
    type: 'histogram',
    name: 'postrider_delivery_batch_seconds',
    help: 'Time of one delivery transaction, from its first statement to its commit.',
    labels: [],
    buckets: fast,
  },
  danePossible: {
    type: 'gauge',
    name: 'postrider_outbound_dane',
    help: '1: the resolver validates DNSSEC and DANE is on; 0: DANE is off, the log says why (dns.validation).',
    labels: [],
    across: 'max',
  },
  queueDepth: {
    type: 'gauge',
    name: 'postrider_queue_depth',
    help: 'Recipients in the outbound queue, by state (queued, held, dead, captured), priority (high, normal, low) and route.',
    labels: ['state', 'priority', 'route'],
    across: 'max',
  },
  queueOldestSeconds: {
    type: 'gauge',
    name: 'postrider_queue_oldest_seconds',
    help: 'Age of the oldest recipient in the outbound queue.',
    labels: ['state', 'priority', 'route'],
    across: 'max',
  },
  queueLanes: {
    type: 'gauge',
    name: 'postrider_queue_lanes',
    help: 'Lanes to next hops that this process has open.',
    labels: [],
  },
  queueClaimSeconds: {
    type: 'histogram',
    name: 'postrider_queue_claim_seconds',
    help: 'Time of one claim of due recipients, from its first statement to their rows.',
    labels: [],
    buckets: fast,
  },
  queueLapsedLanes: {
    type: 'counter',
    name: 'postrider_queue_lapsed_lanes_total',
    help: 'Lanes taken from workers that were not heard of any more.',
    labels: [],
  },
  queueWriteRetries: {
    type: 'counter',
    name: 'postrider_queue_write_retries_total',
    help: 'Outcomes that were written again because the database could not be reached.',
    labels: [],
  },
  outboundOutcomes: {
    type: 'counter',
    name: 'postrider_outbound_outcomes_total',
    help: 'Attempts for one recipient by outcome (delivered, later, never, captured, expired, suppressed, cancelled; stale: told after the lease was lost).',
    labels: ['route', 'outcome'],
  },
  outboundBounces: {
    type: 'counter',
    name: 'postrider_outbound_bounces_total',
    help: 'Recipients that failed for good after an attempt, by what the last reply was about (as in outbound-replies.md).',
    labels: ['category'],
  },
  outboundAttemptSeconds: {
    type: 'histogram',
    name: 'postrider_outbound_attempt_seconds',
    help: 'Time of one attempt to send a message to a next hop.',
    labels: ['route'],
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 600],
  },
  outboundDeliverySeconds: {
    type: 'histogram',
    name: 'postrider_outbound_delivery_seconds',
    help: 'Time from the acceptance of a message to its delivery to a recipient.',
    labels: ['route'],
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 43200, 172800],
  },
  notices: {
    type: 'counter',
    name: 'postrider_notices_total',
    help: 'Reports to senders, by kind (failed: a bounce; delayed, delivered, relayed, expanded).',
    labels: ['kind'],
    atStart: ['failed', 'delayed', 'delivered', 'relayed', 'expanded'],
  },
  reportsReceived: {
    type: 'counter',
    name: 'postrider_reports_received_total',
    help: 'Recipients that reports of others tell of, by kind (failed: a bounce; complaint: feedback; delayed, delivered, relayed, expanded), and whether they are of a message of ours (yes, no).',
    labels: ['kind', 'matched'],
  },
  suppressions: {
    type: 'counter',
    name: 'postrider_suppressions_total',
    help: 'Addresses put on a suppression list, or found worthy of it again, by origin (bounce, complaint).',
    labels: ['origin'],
    atStart: ['bounce', 'complaint'],
  },
  dkimSignatures: {
    type: 'counter',
    name: 'postrider_dkim_messages_total',
    help: 'Messages handed in by our users, by outcome (signed, unsigned: their domain has no key in use).',
    labels: ['outcome'],
    atStart: ['signed', 'unsigned'],
  },
  imapCommands: {
    type: 'counter',
    name: 'postrider_imap_commands_total',
    help: 'IMAP commands, by outcome (ok, no, bad, aborted).',
    labels: ['verb', 'outcome'],
  },
  imapCommandSeconds: {
    type: 'histogram',
    name: 'postrider_imap_command_seconds',
    help: 'Time of one IMAP command; of IDLE none is taken.',
    labels: ['verb'],
    buckets: fast,
  },
  imapIdling: {
    type: 'gauge',
    name: 'postrider_imap_idling',
    help: 'IMAP sessions that are in IDLE now.',
    labels: [],
  },
  authAttempts: {
    type: 'counter',
    name: 'postrider_auth_attempts_total',
    help: 'Logins tried, by outcome (ok, no-such-account, wrong-password, suspended, unavailable).',
    labels: ['protocol', 'mechanism', 'outcome'],
  },
  loginCache: {
    type: 'counter',
    name: 'postrider_login_cache_total',
    help: 'Looks into the cache of verified logins, by outcome (hit, miss).',
    labels: ['outcome'],
    atStart: ['hit', 'miss'],
  },
  databaseConnections: {
    type: 'gauge',
    name: 'postrider_database_connections',
    help: 'Database connections of the pool, by state (idle, busy), and callers waiting for one (waiting).',
    labels: ['state'],
  },
  databaseUp: {
    type: 'gauge',
    name: 'postrider_database_up',
    help: '1 while the database answers, else 0.',
    labels: [],
    across: 'min',
  },
  deliveryRetries: {
    type: 'counter',
    name: 'postrider_delivery_retries_total',
    help: 'Delivery transactions begun again, by reason (serialization, connection).',
    labels: ['reason'],
    atStart: ['serialization', 'connection'],
  },
  changeNotifications: {
    type: 'counter',
    name: 'postrider_change_notifications_total',
    help: 'Changes of accounts told to other processes (sent), heard from them (heard), or found by the slow sweep (swept).',
    labels: ['direction'],
  },
  changeFeedSeconds: {
    type: 'histogram',
    name: 'postrider_change_feed_seconds',
    help: 'Time of sending one batch of notifications to other processes.',
    labels: [],
    buckets: fast,
  },
  spoolBytes: {
    type: 'gauge',
    name: 'postrider_spool_bytes',
    help: 'Bytes of messages in spool files now.',
    labels: [],
  },
  sweeps: {
    type: 'counter',
    name: 'postrider_sweeps_total',
    help: 'Clean-up runs of the janitor, by outcome (ok, failed).',
    labels: ['outcome'],
    atStart: ['ok', 'failed'],
  },
  sweptRows: {
    type: 'counter',
    name: 'postrider_swept_rows_total',
    help: 'Rows the janitor removed (emails, blobs, logEntries, batches, outboundMessages, outboundAttempts, stsPolicies).',
    labels: ['rows'],
  },
  searchQueue: {
    type: 'gauge',
    name: 'postrider_search_queue_messages',
    help: 'Messages that this process knows to wait for the search index; until then they are found by a scan.',
    labels: [],
  },
  searchIndexed: {
    type: 'counter',
    name: 'postrider_search_indexed_messages_total',
    help: 'Messages put into the search index.',
    labels: [],
  },
  searchLag: {
    type: 'gauge',
    name: 'postrider_search_lag_seconds',
    help: 'How long this process has been filling the search index without catching up; 0: nothing waits.',
    labels: [],
  },
  manifests: {
    type: 'counter',
    name: 'postrider_manifests_total',
    help: 'Manifests reconciled, by kind and outcome (ok, refused, failed).',
    labels: ['kind', 'outcome'],
  },
  processes: {
    type: 'gauge',
    name: 'postrider_processes',
    help: 'Server processes that share the listeners and are ready; 0 with PROCESSES=1.',
    labels: [],
  },
  processDeaths: {
    type: 'counter',
    name: 'postrider_process_deaths_total',
    help: 'Server processes that ended by themselves and were started again.',
    labels: [],
  },
  certificateExpiry: {
    type: 'gauge',
    name: 'postrider_certificate_expiry_timestamp_seconds',
    help: 'When the first of the certificates in use ends, in seconds since 1970.',
    labels: [],
    across: 'min',
  },
  certificates: {
    type: 'gauge',
    name: 'postrider_certificates',
    help: 'Certificates of the database that are in use, beside our own.',
    labels: [],
    across: 'max',
  },
  info: {
    type: 'gauge',
    name: 'postrider_info',
    help: 'Always 1; the labels say which version runs and whether in development mode.',
    labels: ['version', 'development'],
    across: 'max',
  },
} as const satisfies MetricTable;

/** `metrics.imapCommands.inc({ verb: 'FETCH', outcome: 'ok' })` */
export type Metrics = MetricsOf<typeof metricTable> & {
  /** What `/metrics` prints. */
  readonly registry: Registry;
};

/** A set of metrics of its own, so that two servers in one process (tests) count apart. */
export function createMetrics(options: { readonly process: boolean } = { process: false }): Metrics {
  const registry = new Registry();
  if (options.process) collectDefaultMetrics({ register: registry });
  return { registry, ...createMetricsOf(metricTable, registry) };
}

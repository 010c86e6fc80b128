import { of, quantile, rate, type Dashboard } from './grafana.ts';

export const overview: Dashboard = {
  uid: 'postrider-overview',
  title: 'Postrider / Overview',
  description: 'Whether mail comes in, is read and goes out, and what the servers need for it.',
  namespacesOf: 'postrider_info',
  rows: [
    {
      title: 'At a glance',
      panels: [
        {
          title: 'Servers',
          description: 'Server processes that are scraped, by version. Two versions at a time: an upgrade is going on.',
          type: 'stat',
          unit: 'short',
          width: 4,
          queries: [{ expr: `sum by (version) (postrider_info${of()})`, legend: '{{version}}' }],
        },
        {
          title: 'Database answers',
          description: 'Whether every server reaches the database.',
          type: 'stat',
          unit: 'bool_yes_no',
          width: 4,
          queries: [{ expr: `min(postrider_database_up${of()})`, legend: 'all servers' }],
        },
        {
          title: 'Certificate ends',
          description: 'When the first of the certificates in use ends.',
          type: 'stat',
          unit: 'dateTimeFromNow',
          width: 4,
          queries: [{ expr: `1000 * min(postrider_certificate_expiry_timestamp_seconds${of()})`, legend: 'first' }],
        },
        {
          title: 'Waiting to go out',
          description: 'Recipients in the outbound queue that are still tried.',
          type: 'stat',
          unit: 'short',
          width: 4,
          queries: [
            {
              expr: `sum(max by (priority, route) (postrider_queue_depth${of('state="queued"')})) or vector(0)`,
              legend: 'queued',
            },
          ],
        },
        {
          title: 'Open connections',
          description: 'Connections of clients and of other mail servers now.',
          type: 'stat',
          unit: 'short',
          width: 4,
          queries: [{ expr: `sum(postrider_connections_open${of()})`, legend: 'open' }],
        },
        {
          title: 'Waiting for a database connection',
          description:
            'Callers that wait because the pool is used up. More than none for long: POOL_SIZE, or the database.',
          type: 'stat',
          unit: 'short',
          width: 4,
          queries: [{ expr: `sum(postrider_database_connections${of('state="waiting"')})`, legend: 'waiting' }],
        },
      ],
    },
    {
      title: 'Traffic',
      panels: [
        {
          title: 'Mail',
          description: 'Messages received, put into mailboxes, and delivered to other systems, a second.',
          unit: 'reqps',
          queries: [
            {
              expr: `sum by (listener) (${rate('postrider_messages_received_total')})`,
              legend: 'received ({{listener}})',
            },
            { expr: `sum by (source) (${rate('postrider_messages_stored_total')})`, legend: 'stored ({{source}})' },
            {
              expr: `sum(${rate('postrider_outbound_outcomes_total', 'outcome="delivered"')})`,
              legend: 'sent',
            },
          ],
        },
        {
          title: 'Open connections',
          description: 'By listener: mx takes mail from other servers, submission from users, imap is for reading.',
          unit: 'short',
          queries: [{ expr: `sum by (listener) (postrider_connections_open${of()})`, legend: '{{listener}}' }],
        },
        {
          title: 'Logins',
          description: 'By outcome. A rise of wrong-password is somebody who guesses, or a password that changed.',
          unit: 'reqps',
          queries: [{ expr: `sum by (outcome) (${rate('postrider_auth_attempts_total')})`, legend: '{{outcome}}' }],
        },
      ],
    },
    {
      title: 'How long people wait',
      panels: [
        {
          title: 'From the end of a message to its reply',
          description: 'How long a sender waits until its message is safe in the database, 50 and 99 of 100.',
          unit: 's',
          queries: [
            { expr: quantile(0.5, 'postrider_smtp_data_seconds', ['listener']), legend: '{{listener}} 50 %' },
            { expr: quantile(0.99, 'postrider_smtp_data_seconds', ['listener']), legend: '{{listener}} 99 %' },
          ],
        },
        {
          title: 'IMAP commands',
          description: 'Time of a command, 50 and 99 of 100.',
          unit: 's',
          queries: [
            { expr: quantile(0.5, 'postrider_imap_command_seconds'), legend: '50 %' },
            { expr: quantile(0.99, 'postrider_imap_command_seconds'), legend: '99 %' },
          ],
        },
        {
          title: 'Until others have our mail',
          description: 'From the acceptance of a message to its delivery to a recipient elsewhere.',
          unit: 's',
          queries: [
            { expr: quantile(0.5, 'postrider_outbound_delivery_seconds'), legend: '50 %' },
            { expr: quantile(0.95, 'postrider_outbound_delivery_seconds'), legend: '95 %' },
          ],
        },
      ],
    },
    {
      title: 'Servers',
      panels: [
        {
          title: 'Processor',
          description: 'Processors in use, by server.',
          unit: 'short',
          queries: [
            {
              expr: `sum by (pod, instance) (rate(process_cpu_seconds_total{namespace=~"$namespace"}[$__rate_interval]) and on (instance) postrider_info${of()})`,
              legend: '{{pod}}{{instance}}',
            },
          ],
        },
        {
          title: 'Memory',
          description: 'Resident memory, by server.',
          unit: 'bytes',
          queries: [
            {
              expr: `process_resident_memory_bytes${of()} and on (instance) postrider_info${of()}`,
              legend: '{{pod}}{{instance}}',
            },
          ],
        },
        {
          title: 'Event loop',
          description:
            'How late the event loop is, 99 of 100. Above a quarter of a second a server does too much at a time.',
          unit: 's',
          queries: [
            {
              expr: `nodejs_eventloop_lag_p99_seconds${of()} and on (instance) postrider_info${of()}`,
              legend: '{{pod}}{{instance}}',
            },
          ],
        },
      ],
    },
  ],
};

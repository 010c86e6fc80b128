import { of, quantile, rate, type Dashboard } from './grafana.ts';

export const delivery: Dashboard = {
  uid: 'postrider-delivery',
  title: 'Postrider / Delivery',
  description: 'Mail that comes in: from other servers, from users, into mailboxes.',
  namespacesOf: 'postrider_info',
  rows: [
    {
      title: 'SMTP',
      panels: [
        {
          title: 'Transactions',
          description:
            'Messages that reached DATA, by outcome: accepted, refused for good, later (4xx), aborted by the client.',
          unit: 'reqps',
          queries: [
            {
              expr: `sum by (listener, outcome) (${rate('postrider_smtp_transactions_total')})`,
              legend: '{{listener}} {{outcome}}',
            },
          ],
        },
        {
          title: 'Replies',
          description:
            'To MAIL, RCPT and DATA by class of code. 4: try later, 5: no. Many 5 to RCPT are guessed addresses.',
          unit: 'reqps',
          queries: [
            { expr: `sum by (verb, class) (${rate('postrider_smtp_replies_total')})`, legend: '{{verb}} {{class}}xx' },
          ],
        },
        {
          title: 'Share of temporary refusals',
          description: 'Of all replies, those with 4xx. Senders come again, and mail is late.',
          unit: 'percentunit',
          queries: [
            {
              expr: `sum by (listener) (${rate('postrider_smtp_replies_total', 'class="4"')}) / sum by (listener) (${rate('postrider_smtp_replies_total')})`,
              legend: '{{listener}}',
            },
          ],
        },
        {
          title: 'From the end of a message to its reply',
          description: 'How long a sender waits until its message is safe, 50 and 99 of 100.',
          unit: 's',
          queries: [
            { expr: quantile(0.5, 'postrider_smtp_data_seconds', ['listener']), legend: '{{listener}} 50 %' },
            { expr: quantile(0.99, 'postrider_smtp_data_seconds', ['listener']), legend: '{{listener}} 99 %' },
          ],
        },
        {
          title: 'Bytes received',
          description: 'Of whole messages, a second.',
          unit: 'bytes',
          queries: [
            { expr: `sum by (listener) (${rate('postrider_message_bytes_received_total')})`, legend: '{{listener}}' },
          ],
        },
        {
          title: 'Connections turned away',
          description: 'By reason: listener-full, address-full (one client has too many), stopping.',
          unit: 'reqps',
          queries: [
            {
              expr: `sum by (listener, reason) (${rate('postrider_connections_refused_total')})`,
              legend: '{{listener}} {{reason}}',
            },
          ],
        },
      ],
    },
    {
      title: 'Into mailboxes',
      panels: [
        {
          title: 'Messages stored',
          description: 'One for each mailbox, by source: delivery, or append (clients that save what they sent).',
          unit: 'reqps',
          queries: [{ expr: `sum by (source) (${rate('postrider_messages_stored_total')})`, legend: '{{source}}' }],
        },
        {
          title: 'Time of one transaction',
          description: 'From its first statement to its commit. It is mostly the disk of the database.',
          unit: 's',
          queries: [
            { expr: quantile(0.5, 'postrider_delivery_batch_seconds'), legend: '50 %' },
            { expr: quantile(0.99, 'postrider_delivery_batch_seconds'), legend: '99 %' },
          ],
        },
        {
          title: 'Messages of one transaction',
          description: 'Messages that shared one commit. It grows with the load.',
          unit: 'short',
          queries: [
            {
              expr: `sum(${rate('postrider_delivery_batch_messages_sum')}) / sum(${rate('postrider_delivery_batch_messages_count')})`,
              legend: 'mean',
            },
          ],
        },
        {
          title: 'Transactions begun again',
          description: 'By reason: serialization (two at the same row), connection (the database went away).',
          unit: 'reqps',
          queries: [{ expr: `sum by (reason) (${rate('postrider_delivery_retries_total')})`, legend: '{{reason}}' }],
        },
        {
          title: 'Bytes in spool files',
          description: 'Large messages on their way in.',
          unit: 'bytes',
          queries: [{ expr: `sum(postrider_spool_bytes${of()})`, legend: 'spool' }],
        },
        {
          title: 'Database connections',
          description: 'Of the pools, by state. waiting: callers for whom none is free.',
          unit: 'short',
          queries: [{ expr: `sum by (state) (postrider_database_connections${of()})`, legend: '{{state}}' }],
        },
      ],
    },
  ],
};

import { of, quantile, rate, type Dashboard } from './grafana.ts';

export const queue: Dashboard = {
  uid: 'postrider-queue',
  title: 'Postrider / Outbound queue',
  description: 'Mail that goes out to other systems.',
  namespacesOf: 'postrider_info',
  rows: [
    {
      title: 'Queue',
      panels: [
        {
          title: 'Recipients by state',
          description:
            'queued: still tried. held: somebody stopped them. dead: given up because attempts crash. captured: kept on purpose.',
          unit: 'short',
          queries: [
            {
              expr: `sum by (state) (max by (state, priority, route) (postrider_queue_depth${of()}))`,
              legend: '{{state}}',
            },
          ],
        },
        {
          title: 'Recipients by route',
          description: 'Which way they wait for.',
          unit: 'short',
          queries: [
            {
              expr: `sum by (route) (max by (state, priority, route) (postrider_queue_depth${of('state="queued"')}))`,
              legend: '{{route}}',
            },
          ],
        },
        {
          title: 'Oldest recipient',
          description: 'Its age. Mail is tried for days; hours are usual for hosts that are away.',
          unit: 's',
          queries: [
            {
              expr: `max by (state, route) (postrider_queue_oldest_seconds${of()})`,
              legend: '{{state}} {{route}}',
            },
          ],
        },
      ],
    },
    {
      title: 'Attempts',
      panels: [
        {
          title: 'Outcomes',
          description: 'One for each recipient: delivered, later (tried again), never (a bounce), expired, and so on.',
          unit: 'reqps',
          queries: [{ expr: `sum by (outcome) (${rate('postrider_outbound_outcomes_total')})`, legend: '{{outcome}}' }],
        },
        {
          title: 'Time of one attempt',
          description: 'To hand over a message to a next hop, 50 and 95 of 100.',
          unit: 's',
          queries: [
            { expr: quantile(0.5, 'postrider_outbound_attempt_seconds', ['route']), legend: '{{route}} 50 %' },
            { expr: quantile(0.95, 'postrider_outbound_attempt_seconds', ['route']), legend: '{{route}} 95 %' },
          ],
        },
        {
          title: 'From acceptance to delivery',
          description: 'What the sender would call the delay.',
          unit: 's',
          queries: [
            { expr: quantile(0.5, 'postrider_outbound_delivery_seconds', ['route']), legend: '{{route}} 50 %' },
            { expr: quantile(0.95, 'postrider_outbound_delivery_seconds', ['route']), legend: '{{route}} 95 %' },
          ],
        },
        {
          title: 'Reports to senders',
          description: 'failed is a bounce, delayed a warning; the others were asked for.',
          unit: 'reqps',
          queries: [{ expr: `sum by (kind) (${rate('postrider_notices_total')})`, legend: '{{kind}}' }],
        },
        {
          title: 'DKIM',
          description: 'Messages handed in, signed or not. unsigned: the domain has no key in use, see its MailDomain.',
          unit: 'reqps',
          queries: [{ expr: `sum by (outcome) (${rate('postrider_dkim_messages_total')})`, legend: '{{outcome}}' }],
        },
        {
          title: 'DANE is possible',
          description: 'Whether the resolver validates DNSSEC, so that TLS policies of others in the DNS are honoured.',
          type: 'stat',
          unit: 'bool_yes_no',
          queries: [{ expr: `min(postrider_outbound_dane${of()})`, legend: 'all servers' }],
        },
      ],
    },
    {
      title: 'Workers',
      panels: [
        {
          title: 'Open lanes',
          description: 'Next hops that mail is being sent to now, by server.',
          unit: 'short',
          queries: [{ expr: `postrider_queue_lanes${of()}`, legend: '{{pod}}{{instance}}' }],
        },
        {
          title: 'Time of one claim',
          description: 'Finding recipients that are due. It must stay the same however long the queue is.',
          unit: 's',
          queries: [
            { expr: quantile(0.5, 'postrider_queue_claim_seconds'), legend: '50 %' },
            { expr: quantile(0.99, 'postrider_queue_claim_seconds'), legend: '99 %' },
          ],
        },
        {
          title: 'Troubles',
          description:
            'Lanes of workers that were not heard of, and outcomes written again because the database was away.',
          unit: 'reqps',
          queries: [
            { expr: `sum(${rate('postrider_queue_lapsed_lanes_total')})`, legend: 'lapsed lanes' },
            { expr: `sum(${rate('postrider_queue_write_retries_total')})`, legend: 'writes again' },
          ],
        },
      ],
    },
  ],
};

import { of, quantile, rate, type Dashboard } from './grafana.ts';

export const imap: Dashboard = {
  uid: 'postrider-imap',
  title: 'Postrider / IMAP',
  description: 'People who read their mail.',
  namespacesOf: 'postrider_info',
  rows: [
    {
      title: 'Sessions',
      panels: [
        {
          title: 'Open connections',
          description: 'All, and those in IDLE, which wait for new mail.',
          unit: 'short',
          queries: [
            {
              expr: `sum by (listener) (postrider_connections_open${of('listener=~"imap.*"')})`,
              legend: '{{listener}}',
            },
            { expr: `sum(postrider_imap_idling${of()})`, legend: 'in IDLE' },
          ],
        },
        {
          title: 'New connections',
          description: 'A second, by listener.',
          unit: 'reqps',
          queries: [
            {
              expr: `sum by (listener) (${rate('postrider_connections_opened_total', 'listener=~"imap.*"')})`,
              legend: '{{listener}}',
            },
          ],
        },
        {
          title: 'Logins',
          description: 'By outcome, of IMAP alone.',
          unit: 'reqps',
          queries: [
            {
              expr: `sum by (outcome) (${rate('postrider_auth_attempts_total', 'protocol="imap"')})`,
              legend: '{{outcome}}',
            },
          ],
        },
      ],
    },
    {
      title: 'Commands',
      panels: [
        {
          title: 'Commands',
          description: 'A second, by verb.',
          unit: 'reqps',
          width: 12,
          queries: [{ expr: `sum by (verb) (${rate('postrider_imap_commands_total')})`, legend: '{{verb}}' }],
        },
        {
          title: 'Time of a command',
          description: 'The slowest of 100, by verb. Of IDLE none is taken.',
          unit: 's',
          width: 12,
          queries: [{ expr: quantile(0.99, 'postrider_imap_command_seconds', ['verb']), legend: '{{verb}}' }],
        },
        {
          title: 'Outcomes',
          description: 'no: refused, bad: not understood, aborted: the connection ended in its midst.',
          unit: 'reqps',
          width: 12,
          queries: [{ expr: `sum by (outcome) (${rate('postrider_imap_commands_total')})`, legend: '{{outcome}}' }],
        },
        {
          title: 'Failed TLS handshakes',
          description: 'By listener. After a new certificate: clients that do not trust it.',
          unit: 'reqps',
          width: 12,
          queries: [
            { expr: `sum by (listener) (${rate('postrider_tls_handshake_failures_total')})`, legend: '{{listener}}' },
          ],
        },
      ],
    },
    {
      title: 'Behind it',
      panels: [
        {
          title: 'Changes told and heard',
          description:
            'Notifications between servers about changed mailboxes. swept: found only by the slow look, so one was lost.',
          unit: 'reqps',
          queries: [
            { expr: `sum by (direction) (${rate('postrider_change_notifications_total')})`, legend: '{{direction}}' },
          ],
        },
        {
          title: 'Search index',
          description: 'How far behind the index is. Until then messages are found by a scan, which is slower.',
          unit: 's',
          queries: [{ expr: `max(postrider_search_lag_seconds${of()})`, legend: 'lag' }],
        },
        {
          title: 'Verified logins remembered',
          description: 'Share of logins that needed no slow hash.',
          unit: 'percentunit',
          queries: [
            {
              expr: `sum(${rate('postrider_login_cache_total', 'outcome="hit"')}) / sum(${rate('postrider_login_cache_total')})`,
              legend: 'hits',
            },
          ],
        },
      ],
    },
  ],
};

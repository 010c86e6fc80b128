import { of, quantile, rate, type Dashboard } from './grafana.ts';

export const operator: Dashboard = {
  uid: 'postrider-operator',
  title: 'Postrider / Operator',
  description: 'Resources, and how quickly the database follows them.',
  namespacesOf: 'postrider_operator_info',
  rows: [
    {
      title: 'Resources',
      panels: [
        {
          title: 'Leader',
          description: 'Operators that lead. Other than 1 for more than 15 seconds: nothing is reconciled.',
          type: 'stat',
          unit: 'short',
          width: 4,
          queries: [{ expr: `sum(leader_election_master_status${of()})`, legend: 'leaders' }],
        },
        {
          title: 'Resources',
          description: 'Of each kind.',
          type: 'stat',
          unit: 'short',
          width: 12,
          queries: [{ expr: `sum by (kind) (postrider_operator_objects${of()})`, legend: '{{kind}}' }],
        },
        {
          title: 'Not ready',
          description: 'Resources that are not Ready. `kubectl get mail -A` names them with the reason.',
          type: 'stat',
          unit: 'short',
          width: 4,
          queries: [
            { expr: `sum(postrider_operator_objects${of('ready!="True"')}) or vector(0)`, legend: 'not ready' },
          ],
        },
        {
          title: 'Detachments held back',
          description: 'Rows that lost their resource and are kept because they are too many at a time.',
          type: 'stat',
          unit: 'short',
          width: 4,
          queries: [{ expr: `max(postrider_operator_mass_detach_blocked${of()})`, legend: 'rows' }],
        },
        {
          title: 'Not ready, by reason',
          description: 'The reasons are explained in docs/conditions.md.',
          unit: 'short',
          width: 12,
          queries: [
            {
              expr: `sum by (kind, reason) (postrider_operator_objects${of('ready!="True"')})`,
              legend: '{{kind}} {{reason}}',
            },
          ],
        },
        {
          title: 'DKIM keys and DNS records',
          description: 'Keys by state; records that domains need by whether the DNS has them.',
          unit: 'short',
          width: 12,
          queries: [
            { expr: `sum by (state) (postrider_operator_dkim_keys${of()})`, legend: 'keys {{state}}' },
            { expr: `sum by (state) (postrider_operator_dns_records${of()})`, legend: 'records {{state}}' },
          ],
        },
      ],
    },
    {
      title: 'Directory',
      panels: [
        {
          title: 'Passes',
          description: 'Comparisons of all resources with all rows, by cause and outcome.',
          unit: 'reqps',
          queries: [
            {
              expr: `sum by (cause, outcome) (${rate('postrider_operator_directory_passes_total')})`,
              legend: '{{cause}} {{outcome}}',
            },
          ],
        },
        {
          title: 'Time of a pass',
          description: 'Without what it made to do.',
          unit: 's',
          queries: [
            { expr: quantile(0.5, 'postrider_operator_directory_pass_seconds'), legend: '50 %' },
            { expr: quantile(0.99, 'postrider_operator_directory_pass_seconds'), legend: '99 %' },
          ],
        },
        {
          title: 'Changes of rows',
          description: 'By action. In a quiet installation there are none.',
          unit: 'reqps',
          queries: [
            { expr: `sum by (action) (${rate('postrider_operator_directory_actions_total')})`, legend: '{{action}}' },
          ],
        },
      ],
    },
    {
      title: 'Controllers',
      panels: [
        {
          title: 'Reconciliations',
          description: 'By controller and result.',
          unit: 'reqps',
          queries: [
            {
              expr: `sum by (controller, result) (${rate('controller_runtime_reconcile_total')})`,
              legend: '{{controller}} {{result}}',
            },
          ],
        },
        {
          title: 'Time of a reconciliation',
          description: '99 of 100, by controller.',
          unit: 's',
          queries: [
            {
              expr: quantile(0.99, 'controller_runtime_reconcile_time_seconds', ['controller']),
              legend: '{{controller}}',
            },
          ],
        },
        {
          title: 'Waiting keys',
          description: 'By queue. It should come down to none again.',
          unit: 'short',
          queries: [{ expr: `sum by (name) (workqueue_depth${of()})`, legend: '{{name}}' }],
        },
      ],
    },
    {
      title: 'Kubernetes API',
      panels: [
        {
          title: 'Requests',
          description: 'By method and code. When nothing changes there is less than one a second.',
          unit: 'reqps',
          queries: [
            { expr: `sum by (method, code) (${rate('rest_client_requests_total')})`, legend: '{{method}} {{code}}' },
          ],
        },
        {
          title: 'Time of a request',
          description: '99 of 100, by verb; watches are not counted.',
          unit: 's',
          queries: [{ expr: quantile(0.99, 'rest_client_request_duration_seconds', ['verb']), legend: '{{verb}}' }],
        },
        {
          title: 'Silence of watches',
          description: 'Seconds since the API server was last heard, by kind. Beyond two minutes a watch is dead.',
          unit: 's',
          queries: [
            {
              expr: `time() - max by (kind) (postrider_informer_last_heard_timestamp_seconds${of()})`,
              legend: '{{kind}}',
            },
          ],
        },
        {
          title: 'Memory',
          description: 'Resident memory of the operator.',
          unit: 'bytes',
          queries: [
            {
              expr: `process_resident_memory_bytes${of()} and on (instance) postrider_operator_info${of()}`,
              legend: '{{pod}}{{instance}}',
            },
          ],
        },
      ],
    },
  ],
};

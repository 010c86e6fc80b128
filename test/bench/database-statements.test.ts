import { expect, test } from 'vitest';
import { slowestPlans } from './database-statements.ts';

const entry = (ms: number, query: string, scan: string): string =>
  `2026-01-01 10:00:00.000 UTC [7] LOG:  duration: ${ms.toFixed(3)} ms  plan:\n\tQuery Text: ${query}\n\t${scan}  (cost=0.29..8.31 rows=1 width=8)\n`;

test('each statement is shown with its slowest plan, the slowest statement first', () => {
  const log =
    entry(1, 'select 1', 'Result') +
    '2026-01-01 10:00:00.000 UTC [7] LOG:  checkpoint starting: time\n' +
    entry(5, 'select a\n\t from t', 'Seq Scan on t') +
    entry(9, 'select 1', 'Result again') +
    entry(3, 'select a\n\t from t', 'Index Scan on t');
  const plans = slowestPlans(log);
  expect(plans).toHaveLength(2);
  expect(plans[0]).toContain('9.000 ms');
  expect(plans[0]).toContain('Result again');
  expect(plans[1]).toContain('Seq Scan on t');
});

test('a log without plans has none', () => {
  expect(slowestPlans('2026-01-01 10:00:00.000 UTC [7] LOG:  ready\n')).toEqual([]);
});

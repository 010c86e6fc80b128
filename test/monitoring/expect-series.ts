/** Holds what dashboards and alerts ask for against a scrape. */
import { kubeMetricTable } from '#shared/observe/kube-metrics.ts';
import type { MetricRow } from '#shared/observe/metric-table.ts';
import { metricTable } from '#shared/observe/metrics.ts';
import { operatorMetricTable } from '#shared/observe/operator-metrics.ts';
import { selectorsOf, type Expression, type Matcher, type Scraped } from './series.ts';

export const serverRows = rowsOf(metricTable);
export const operatorRows = new Map([...rowsOf(kubeMetricTable), ...rowsOf(operatorMetricTable)]);

function rowsOf(table: Readonly<Record<string, MetricRow>>): ReadonlyMap<string, MetricRow> {
  return new Map(Object.values(table).map((row) => [row.name, row]));
}

/** Of one of a histogram's series, the histogram's. */
export function rowOf(name: string): MetricRow | undefined {
  const find = (text: string): MetricRow | undefined => serverRows.get(text) ?? operatorRows.get(text);
  const histogram = find(name.replace(/_(?:bucket|sum|count)$/, ''));
  return find(name) ?? (histogram?.type === 'histogram' ? histogram : undefined);
}

/** What is asked of metrics of `rows` (and of the process, which all programs tell) and is not in the scrape. */
export function missingSeries(
  expressions: readonly Expression[],
  rows: ReadonlyMap<string, MetricRow>,
  scraped: Scraped,
): readonly string[] {
  return expressions.flatMap(({ where, expr }) =>
    selectorsOf(expr).flatMap(({ name, matchers }) => {
      const row = rowOf(name);
      if (row && rows.get(row.name) !== row) return [];
      const found = scraped.get(name) ?? [];
      if (found.length === 0) return [`${where}: ${name} is not in the scrape`];
      return matchers
        .filter((each) => !isMet(each, found, row))
        .map(({ label, operator, value }) => `${where}: ${name} has no ${label}${operator}"${value}"`);
    }),
  );
}

/** Values that a run without trouble has none of must be named by the metric's help. */
function isMet(
  { label, operator, value }: Matcher,
  found: readonly Readonly<Record<string, string>>[],
  row?: MetricRow,
) {
  const values = found.flatMap((labels) => labels[label] ?? []);
  if (operator.startsWith('!')) return values.length > 0;
  const known = [...values, ...(row?.help.match(/<?[\w-]+>?/g) ?? [])];
  const pattern = new RegExp(operator === '=~' ? `^(?:${value})$` : `^${RegExp.escape(value)}$`);
  return values.length > 0 && known.some((each) => pattern.test(each));
}

/** A table of metrics (name, help, labels, buckets) and what is made from it. Each program has a table of its own. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import { unreachable } from '#shared/base/unreachable.ts';

export type MetricRow =
  | {
      readonly type: 'counter' | 'gauge';
      readonly name: string;
      readonly help: string;
      readonly labels: readonly string[];
      /** How several processes of one server become one figure; their sum when left out. */
      readonly across?: 'min' | 'max';
      /** Values of the only label that are there from the start, at 0: else the first count of one is no increase. */
      readonly atStart?: readonly string[];
    }
  | {
      readonly type: 'histogram';
      readonly name: string;
      readonly help: string;
      readonly labels: readonly string[];
      readonly buckets: readonly number[];
    };

export type MetricTable = Readonly<Record<string, MetricRow>>;

type LabelOf<R extends MetricRow> = R['labels'][number];
type MetricOf<R extends MetricRow> = R extends { type: 'counter' }
  ? Counter<LabelOf<R>>
  : R extends { type: 'gauge' }
    ? Gauge<LabelOf<R>>
    : Histogram<LabelOf<R>>;

/** `metrics.imapCommands.inc({ verb: 'FETCH', outcome: 'ok' })` */
export type MetricsOf<T extends MetricTable> = { readonly [K in keyof T]: MetricOf<T[K]> };

/** One metric for each row, in `registry`. */
export function createMetricsOf<T extends MetricTable>(table: T, registry: Registry): MetricsOf<T> {
  const entries = Object.entries(table).map(([key, row]) => [key, createMetric(row, registry)] as const);
  return Object.fromEntries(entries) as MetricsOf<T>;
}

function createMetric(row: MetricRow, registry: Registry): Counter | Gauge | Histogram {
  const common = { name: row.name, help: row.help, labelNames: [...row.labels], registers: [registry] };
  switch (row.type) {
    case 'counter':
      return startAtZero(new Counter(common), row);
    case 'gauge':
      return startAtZero(new Gauge({ ...common, aggregator: row.across ?? 'sum' }), row);
    case 'histogram':
      return new Histogram({ ...common, buckets: [...row.buckets] });
    default:
      return unreachable(row);
  }
}

function startAtZero<M extends Counter | Gauge>(metric: M, row: Extract<MetricRow, { type: 'counter' | 'gauge' }>): M {
  const [label = ''] = row.labels;
  for (const value of row.atStart ?? []) metric.inc({ [label]: value }, 0);
  return metric;
}

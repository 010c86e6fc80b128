/** Dashboards as short descriptions, and as the JSON that Grafana reads (schema 39, Grafana 10 and newer). */

type Query = { readonly expr: string; readonly legend: string };

type Unit = 'short' | 's' | 'bytes' | 'reqps' | 'percentunit' | 'dateTimeFromNow' | 'bool_yes_no';

type Panel = {
  readonly title: string;
  /** What it shows and what to think of it; behind the small "i". */
  readonly description: string;
  /** Lines over time unless told: one figure, or one line of figures. */
  readonly type?: 'timeseries' | 'stat';
  readonly unit: Unit;
  readonly queries: readonly Query[];
  /** Of 24 columns; 8 unless told. */
  readonly width?: number;
};

export type Dashboard = {
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  /** The series whose label `namespace` makes the list of namespaces. */
  readonly namespacesOf: string;
  readonly rows: readonly { readonly title: string; readonly panels: readonly Panel[] }[];
};

/** The label matchers of every query: the namespace that is chosen at the top, and more. */
export function of(more = ''): string {
  return `{namespace=~"$namespace"${more === '' ? '' : `,${more}`}}`;
}

/** Per second, of a counter. */
export function rate(counter: string, more = ''): string {
  return `rate(${counter}${of(more)}[$__rate_interval])`;
}

/** A quantile of a histogram, by the labels named. */
export function quantile(share: number, histogram: string, by: readonly string[] = [], more = ''): string {
  const labels = ['le', ...by].join(', ');
  return `histogram_quantile(${share}, sum by (${labels}) (${rate(`${histogram}_bucket`, more)}))`;
}

const columns = 24;
const heights = { timeseries: 8, stat: 4 } as const;

export function grafanaJson(dashboard: Dashboard): unknown {
  return {
    uid: dashboard.uid,
    title: dashboard.title,
    description: dashboard.description,
    tags: ['postrider'],
    schemaVersion: 39,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: '30s',
    time: { from: 'now-6h', to: 'now' },
    timezone: 'browser',
    links: [
      {
        type: 'dashboards',
        title: 'Postrider',
        tags: ['postrider'],
        asDropdown: true,
        includeVars: true,
        keepTime: true,
      },
    ],
    templating: { list: variables(dashboard) },
    annotations: { list: [] },
    panels: panels(dashboard),
  };
}

function variables({ namespacesOf }: Dashboard): readonly unknown[] {
  return [
    { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus', current: {}, hide: 0 },
    {
      name: 'namespace',
      label: 'Namespace',
      type: 'query',
      datasource,
      query: { query: `label_values(${namespacesOf}, namespace)`, refId: 'namespace' },
      refresh: 2,
      sort: 1,
      multi: true,
      includeAll: true,
      // Series that were scraped outside of a cluster have no namespace.
      allValue: '.*',
      current: { text: 'All', value: '$__all' },
    },
  ];
}

const datasource = { type: 'prometheus', uid: '${datasource}' } as const;

function panels({ rows }: Dashboard): readonly unknown[] {
  const placed: unknown[] = [];
  let y = 0;
  for (const row of rows) {
    placed.push({
      id: placed.length + 1,
      type: 'row',
      title: row.title,
      collapsed: false,
      panels: [],
      gridPos: { x: 0, y, w: columns, h: 1 },
    });
    y += 1;
    let x = 0;
    let height = 0;
    for (const panel of row.panels) {
      const { width = 8, type = 'timeseries' } = panel;
      if (x + width > columns) {
        x = 0;
        y += height;
        height = 0;
      }
      placed.push({ id: placed.length + 1, ...panelJson(panel, type), gridPos: { x, y, w: width, h: heights[type] } });
      x += width;
      height = Math.max(height, heights[type]);
    }
    y += height;
  }
  return placed;
}

function panelJson({ title, description, unit, queries }: Panel, type: 'timeseries' | 'stat') {
  const custom = { lineWidth: 1, fillOpacity: 10, showPoints: 'never', spanNulls: false };
  return {
    type,
    title,
    description,
    datasource,
    targets: queries.map(({ expr, legend }, i) => ({
      refId: String.fromCodePoint(65 + i),
      datasource,
      expr,
      legendFormat: legend,
      ...(type === 'stat' && { instant: true }),
    })),
    fieldConfig: {
      defaults: { unit, min: unit === 'dateTimeFromNow' ? null : 0, ...(type === 'timeseries' && { custom }) },
      overrides: [],
    },
    options:
      type === 'stat'
        ? { reduceOptions: { calcs: ['lastNotNull'] }, colorMode: 'none', graphMode: 'none', textMode: 'auto' }
        : { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi', sort: 'desc' } },
  };
}

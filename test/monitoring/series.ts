/** Which series a PromQL expression asks for, and what a scrape has. As far as our dashboards and rules go. */
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'yaml';

export type Matcher = { readonly label: string; readonly operator: string; readonly value: string };

/** One selector of an expression. */
export type Wanted = { readonly name: string; readonly matchers: readonly Matcher[] };

export type Expression = { readonly where: string; readonly expr: string };

/** Of Prometheus itself and of the cluster it is in, not of what is scraped. */
export const targetLabels: ReadonlySet<string> = new Set(['namespace', 'pod', 'instance', 'job']);

const chart = 'charts/postrider';

export function expressions(): readonly Expression[] {
  return [...dashboardExpressions(), ...ruleExpressions()];
}

function dashboardExpressions(): readonly Expression[] {
  type Panel = { readonly title: string; readonly targets?: readonly { readonly expr: string }[] };
  return filesOf('dashboards', '.json').flatMap(({ file, text }) => {
    const { panels } = JSON.parse(text) as { readonly panels: readonly Panel[] };
    return panels.flatMap(({ title, targets = [] }) =>
      targets.map(({ expr }) => ({ where: `${file}: ${title}`, expr: withoutVariables(expr) })),
    );
  });
}

function ruleExpressions(): readonly Expression[] {
  type Rules = {
    readonly groups: readonly { readonly rules: readonly { readonly alert: string; readonly expr: string }[] }[];
  };
  return filesOf('rules', '.yaml').flatMap(({ file, text }) =>
    (parse(text) as Rules).groups.flatMap(({ rules }) =>
      rules.map(({ alert, expr }) => ({ where: `${file}: ${alert}`, expr })),
    ),
  );
}

function filesOf(folder: string, ending: string) {
  return readdirSync(path.join(chart, folder))
    .filter((file) => file.endsWith(ending))
    .map((file) => ({ file, text: readFileSync(path.join(chart, folder, file), 'utf8') }));
}

/** As Grafana does before it asks. */
function withoutVariables(expr: string): string {
  return expr.replaceAll('$__rate_interval', '5m').replaceAll('$namespace', '.*');
}

const selector =
  /(?<![\w:"])((?:postrider|controller_runtime|workqueue|rest_client|leader_election|process|nodejs)_\w+)(?:\{([^}]*)\})?/g;
const matcher = /(\w+)(=~|!~|!=|=)"([^"]*)"/g;
const grouping = /\b(?:by|on)\s*\(([^)]*)\)/g;

export function selectorsOf(expr: string): readonly Wanted[] {
  return [...expr.matchAll(selector)].map(([, name = '', inside = '']) => ({
    name,
    matchers: [...inside.matchAll(matcher)]
      .map(([, label = '', operator = '', value = '']) => ({ label, operator, value }))
      .filter(({ label }) => !targetLabels.has(label)),
  }));
}

/** Labels that the expression keeps. */
export function groupingLabels(expr: string): readonly string[] {
  return [...expr.matchAll(grouping)]
    .flatMap(([, labels = '']) => labels.split(',').map((label) => label.trim()))
    .filter((label) => !targetLabels.has(label));
}

export type Scraped = ReadonlyMap<string, readonly Readonly<Record<string, string>>[]>;

/** Prometheus' text format: the label sets of each name. */
export function parseScrape(text: string): Scraped {
  const series = new Map<string, Record<string, string>[]>();
  for (const line of text.split('\n')) {
    const [, name, inside = ''] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? /.exec(line) ?? [];
    if (name === undefined) continue;
    const labels = Object.fromEntries(
      [...inside.matchAll(matcher)].map(([, label = '', , value = '']) => [label, value]),
    );
    series.set(name, [...(series.get(name) ?? []), labels]);
  }
  return series;
}

/**
 * Writes the reference pages that come from tables of the program and from crds/: docs/configuration.md,
 * docs/metrics.md and docs/resources.md. With `--check` it writes nothing and fails where a page is not up to date.
 */
import { format } from 'prettier';
import type { Setting } from '#shared/config/setting.ts';
import { operatorSettings } from '#shared/config/operator-settings.ts';
import { settings } from '#shared/config/settings.ts';
import { kubeMetricTable } from '#shared/observe/kube-metrics.ts';
import type { MetricTable } from '#shared/observe/metric-table.ts';
import { metricTable } from '#shared/observe/metrics.ts';
import { operatorMetricTable } from '#shared/observe/operator-metrics.ts';
import { readCrds } from './crds.ts';
import { resourcesPage } from './resources-page.ts';
import { writeGenerated } from './write-generated.ts';

const mark = (generator: string) => `<!-- Made from ${generator} by tools/generate-docs.ts; change it there. -->`;

function configurationPage(): string {
  return `${mark('shared/config/settings.ts and operator-settings.ts')}

# Configuration

Settings are environment variables. Each name below may also be written with \`POSTRIDER_\` before it
(\`POSTRIDER_IMAP_PORT\`), which wins over the plain name. A secret may be written into a file that \`NAME_FILE\` names.
An empty value counts as not set.

\`postrider run --config FILE\` reads \`NAME=value\` lines from a file too; the environment wins over it. What is in
force comes, in this order, from the environment, the file, \`run --local\`, development mode, \`ENVIRONMENT\`, and the
defaults of this page. \`postrider config\` (\`postrider config --local\`) prints all of it with where each value comes
from, secrets masked.

Everything that is wrong is reported at once, each with what to write instead, and the exit code is 78. Unknown names
are wrong where they begin with \`POSTRIDER_\` or stand in the file; elsewhere a name that looks like a misspelt setting
gives a warning. Variables that Kubernetes makes of Services (\`IMAP_PORT=tcp://…\`) are ignored.

A size is a number of bytes or one with k, M, G, Ki, Mi or Gi; a duration is a number of seconds or one with ms, s, m
or h; a switch is true or false.

${settingSections(Object.values(settings), '##')}

## The operator

The program \`postrider-operator\` (\`operator/main.ts\`) has settings of its own. It finds the cluster through its
service account, else through \`KUBECONFIG\` or \`~/.kube/config\`.

${settingSections(Object.values(operatorSettings), '###')}
`;
}

function settingSections(rows: readonly Setting<unknown>[], heading: string): string {
  const groups = [...new Set(rows.map((row) => row.group))];
  const sections = groups.map((group) => {
    const entries = rows.filter((row) => row.group === group).map((row) => settingEntry(row, `${heading}#`));
    return `${heading} ${group}\n\n${entries.join('\n\n')}`;
  });
  return sections.join('\n\n');
}

function settingEntry(row: Setting<unknown>, heading: string): string {
  const presets = Object.entries(row.presets ?? {}).map(([preset, text]) => `${presetNames[preset]} \`${text}\``);
  const standard = row.standardHelp ?? (row.standard === '' ? 'not set' : `\`${row.standard}\``);
  const facts = [
    row.type.name,
    `default ${[standard, ...presets].join(', ')}`,
    ...(row.isSecret ? ['secret: may be in a file'] : []),
    ...(row.names.length > 1 ? [`also read from \`${row.names.slice(1).join('`, `')}\``] : []),
  ];
  return `${heading} ${row.names[0]}\n\n${row.help}\n\n_${facts.join('; ')}._`;
}

const presetNames: Readonly<Record<string, string>> = {
  development: 'with `ENVIRONMENT=development`',
  staging: 'with `ENVIRONMENT=staging`',
  debug: 'with `DEBUG=true`',
  developmentMode: 'in development mode',
  local: 'with `run --local`',
};

function metricsPage(): string {
  return `${mark('shared/observe/metrics.ts, operator-metrics.ts and kube-metrics.ts')}

# Metrics

\`GET /metrics\` on HTTP_PORT prints these in Prometheus' text format, and the usual \`process_\` and \`nodejs_\` metrics
beside them. Labels are listeners, verbs and kinds of outcome, never an address or anything else that a client can
invent.

${metricRows(metricTable)}

## The operator

Labels are kinds, reasons and outcomes; names of resources only of MailServers and MailDomains. Those of controllers,
queues and requests have the names that controller-runtime and client-go give them.

${metricRows({ ...operatorMetricTable, ...kubeMetricTable })}
`;
}

function metricRows(table: MetricTable): string {
  const rows = Object.values(table).map((row) => {
    const labels = row.labels.map((label) => `\`${label}\``).join(', ');
    return `| \`${row.name}\` | ${row.type} | ${labels} | ${row.help} |`;
  });
  return `| name | type | labels | what it is |\n| --- | --- | --- | --- |\n${rows.join('\n')}`;
}

const pages: Readonly<Record<string, string>> = {
  'docs/configuration.md': configurationPage(),
  'docs/metrics.md': metricsPage(),
  'docs/resources.md': `${mark('crds/')}\n\n${resourcesPage(readCrds())}`,
};
const formatted: Record<string, string> = {};
for (const [file, text] of Object.entries(pages)) {
  formatted[file] = await format(text, { parser: 'markdown', printWidth: 120 });
}
writeGenerated(formatted, 'node tools/generate-docs.ts');

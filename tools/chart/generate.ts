/**
 * Makes what the chart has twice: README.md and values.schema.json from values.yaml, files/crds from crds/.
 * With `--check` it writes nothing and fails where something is not up to date.
 */
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import process from 'node:process';
import { format } from 'prettier';
import { parse } from 'yaml';
import { readValues, type ChartValue } from './values-file.ts';
import { valuesSchema } from './values-schema.ts';

const chart = 'charts/postrider';
const isCheck = process.argv.includes('--check');
const read = (file: string): string => (existsSync(file) ? readFileSync(file, 'utf8') : '');
const values = readValues(read(`${chart}/values.yaml`));

put(`${chart}/README.md`, await format(readme(), { parser: 'markdown', printWidth: 120 }));
put(
  `${chart}/values.schema.json`,
  await format(JSON.stringify(valuesSchema(values)), { parser: 'json', printWidth: 120 }),
);
const crds = globSync('crds/*.yaml').map((file) => path.basename(file));
for (const name of crds) put(`${chart}/files/crds/${name}`, read(`crds/${name}`));
for (const file of globSync(`${chart}/files/crds/*`)) {
  if (crds.includes(path.basename(file))) continue;
  if (isCheck) outdated(file);
  else rmSync(file);
}
checkVersions();

function readme(): string {
  const { description } = parse(read(`${chart}/Chart.yaml`)) as { description: string };
  const rows = values.map(
    ({ path: names, help, standard }) => `| \`${names.join('.')}\` | ${cell(help)} | ${shown(standard)} |`,
  );
  return `<!-- Made from values.yaml by tools/chart/generate.ts; change it there. -->

# The chart postrider

${description}.

\`\`\`sh
helm install postrider charts/postrider --namespace mail --create-namespace
\`\`\`

Without values it makes a Postgres of its own for trying out. docs/install.md goes through an installation,
docs/production.md through what mail for others needs, docs/upgrade.md and docs/uninstall.md through the rest.

Values of \`server\` hold for each role; \`mx\`, \`submission\`, \`imap\` and \`outbound\` take the same ones and win:
\`--set imap.replicas=4\`. A value that is not in this list is refused.

| value | what it is | default |
| --- | --- | --- |
${rows.join('\n')}
`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function shown(standard: ChartValue['standard']): string {
  return standard === '' || standard === null ? '' : `\`${cell(JSON.stringify(standard))}\``;
}

function put(file: string, wanted: string): void {
  if (read(file) === wanted) return;
  if (isCheck) return outdated(file);
  writeFileSync(file, wanted);
  console.log(`wrote ${file}`);
}

function outdated(file: string): void {
  console.error(`${file} is not up to date: run \`node tools/chart/generate.ts\``);
  process.exitCode = 1;
}

/** The chart, the images and the program are released together. */
function checkVersions(): void {
  const { version } = JSON.parse(read('package.json')) as { version: string };
  const of = parse(read(`${chart}/Chart.yaml`)) as { version: string; appVersion: string };
  if (of.version === version && of.appVersion === version) return;
  console.error(`${chart}/Chart.yaml has versions ${of.version} and ${of.appVersion}, package.json has ${version}`);
  process.exitCode = 1;
}

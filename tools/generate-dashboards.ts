/**
 * Writes the Grafana dashboards of the chart, charts/postrider/dashboards/*.json, from tools/dashboards/. With
 * `--check` it writes nothing and fails where one is not up to date.
 */
import { format } from 'prettier';
import { delivery } from './dashboards/delivery.ts';
import { grafanaJson } from './dashboards/grafana.ts';
import { imap } from './dashboards/imap.ts';
import { operator } from './dashboards/operator.ts';
import { overview } from './dashboards/overview.ts';
import { queue } from './dashboards/queue.ts';
import { writeGenerated } from './write-generated.ts';

const files: Record<string, string> = {};
for (const [name, dashboard] of Object.entries({ overview, delivery, queue, imap, operator })) {
  const text = JSON.stringify(grafanaJson(dashboard));
  files[`charts/postrider/dashboards/${name}.json`] = await format(text, { parser: 'json', printWidth: 120 });
}
writeGenerated(files, 'node tools/generate-dashboards.ts');

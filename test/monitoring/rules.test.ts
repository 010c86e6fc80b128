/** The alerts of the chart, with Prometheus' own tool. */
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { lacks } from '../harness/programs.ts';

const run = promisify(execFile);
const rulesFolder = 'charts/postrider/rules';
const testsFolder = 'test/monitoring/rules';

type Rules = {
  readonly groups: readonly {
    readonly name: string;
    readonly rules: readonly {
      readonly alert: string;
      readonly expr: string;
      readonly labels: { readonly severity: string };
      readonly annotations: { readonly summary: string; readonly description: string };
    }[];
  }[];
};

type Tests = {
  readonly tests: readonly {
    readonly alert_rule_test: readonly {
      readonly alertname: string;
      readonly exp_alerts: readonly { readonly exp_labels: Readonly<Record<string, string>> }[];
    }[];
  }[];
};

const files = (await readdir(rulesFolder)).filter((name) => name.endsWith('.yaml'));
const read = async <T>(folder: string, name: string): Promise<T> =>
  parse(await readFile(path.join(folder, name), 'utf8')) as T;

describe.skipIf(lacks('promtool'))('promtool', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-rules-'));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test('understands all rules', async () => {
    const paths = files.map((name) => path.join(rulesFolder, name));
    expect((await run('promtool', ['check', 'rules', ...paths])).stdout).not.toContain('FAILED');
  });

  test.each(files)('%s: alerts fire when they should, and only then', async (name) => {
    const rules = await read<Rules>(rulesFolder, name);
    // Without their texts: those would have to be written out for each expected alert.
    const bare = {
      groups: rules.groups.map(({ name: group, rules: all }) => ({
        name: group,
        rules: all.map(({ annotations: _annotations, ...rule }) => rule),
      })),
    };
    await writeFile(path.join(folder, name), stringify(bare));
    const tests = await read<Tests>(testsFolder, name);
    const file = path.join(folder, `test-${name}`);
    await writeFile(file, stringify({ ...tests, rule_files: [path.join(folder, name)] }));
    const { stdout, stderr } = await run('promtool', ['test', 'rules', file]).catch(
      (error: { stdout: string; stderr: string }) => error,
    );
    expect(`${stdout}${stderr}`).toMatch(/SUCCESS\s*$/);
  });
});

test.each(files)('%s: each alert is tested, says something, and is explained', async (name) => {
  const { groups } = await read<Rules>(rulesFolder, name);
  const { tests } = await read<Tests>(testsFolder, name);
  const expected = tests.flatMap((each) => each.alert_rule_test);
  const explained = await readFile('docs/monitoring.md', 'utf8');
  for (const { alert, labels, annotations } of groups.flatMap(({ rules }) => rules)) {
    const fired = expected.filter(({ alertname }) => alertname === alert).flatMap((each) => each.exp_alerts);
    expect(fired.length, `${alert} fires in no test`).toBeGreaterThan(0);
    expect(labels.severity).toMatch(/^(critical|warning|info)$/);
    expect(annotations.summary).toMatch(/\.$/);
    // A label that the alert does not have would leave a hole in the text.
    const used = [...annotations.description.matchAll(/\$labels\.(\w+)/g)].map(([, label]) => label);
    for (const { exp_labels } of fired) {
      const missing = used.filter((label) => label !== undefined && !(label in exp_labels));
      expect(missing, alert).toEqual([]);
    }
    expect(explained, `${alert} is not in docs/monitoring.md`).toContain(`### ${alert}\n`);
  }
});

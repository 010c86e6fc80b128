/** The same as series.test.ts for the operator, on a real API server and a real database. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { createTestDatabase } from '../harness/database.ts';
import { startKubeApiserver, type KubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { freePorts } from '../harness/ports.ts';
import { Cluster, exampleDomain, mailbox, mailServer } from '../operator/operator-under-test.ts';
import { missingSeries, operatorRows } from './expect-series.ts';
import { expressions, parseScrape, targetLabels } from './series.ts';

const settleMs = 60_000;

test.skipIf(lacksKube())('an operator that leads prints every series of operators', { timeout: 180_000 }, async () => {
  await using database = await createTestDatabase();
  await using kube = await startKubeApiserver({ crds: ['crds'] });
  await using operator = await startOperatorProgram(kube, database.url);
  const cluster = new Cluster(kube.client());
  await cluster.apply(`${mailServer}---${exampleDomain}---${mailbox('alice')}`);
  let missing: readonly string[] = ['not asked yet'];
  for (const deadline = performance.now() + settleMs; performance.now() < deadline; await sleep(200)) {
    missing = missingSeries(expressions(), operatorRows, parseScrape(await operator.metrics()));
    if (missing.length === 0) break;
  }
  expect(missing, operator.log()).toEqual([]);
});

test('labels that Prometheus puts on every series are on none of the operator’s', () => {
  const rows = [...operatorRows.values()];
  expect(rows.filter(({ labels }) => labels.some((label) => targetLabels.has(label)))).toEqual([]);
});

/** As a pod runs it, but for the kubeconfig. */
async function startOperatorProgram(kube: KubeApiserver, databaseUrl: string) {
  const [port] = await freePorts(1);
  const child = spawn(process.execPath, ['operator/main.ts'], {
    env: {
      PATH: process.env['PATH'] ?? '',
      KUBECONFIG: kube.kubeconfig,
      DATABASE_URL: databaseUrl,
      OPERATOR_NAMESPACE: 'default',
      OPERATOR_IDENTITY: 'test',
      HTTP_HOST: '127.0.0.1',
      HTTP_PORT: String(port),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let logged = '';
  const hear = (chunk: Buffer): void => void (logged += chunk.toString());
  child.stdout.on('data', hear);
  child.stderr.on('data', hear);
  return {
    log: () => logged,
    /** Nothing before it listens. */
    async metrics(): Promise<string> {
      const response = await fetch(`http://127.0.0.1:${port}/metrics`).catch(() => null);
      if (child.exitCode !== null) throw new Error(`the operator ended with ${child.exitCode}:\n${logged}`);
      return response === null ? '' : response.text();
    },
    async [Symbol.asyncDispose](): Promise<void> {
      if (child.exitCode !== null) return;
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
    },
  };
}

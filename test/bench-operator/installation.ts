/** A real API server, a durable Postgres, a server and the operator as a program, for the bench. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { createDatabase } from '#shared/db/client.ts';
import { migrate } from '#shared/db/migrate.ts';
import { silentLogger } from '#shared/observe/logger.ts';
import { startEmbeddedPostgres } from '#server/embedded/embedded-postgres.ts';
import { startKubeApiserver, type KubeApiserver } from '../harness/kube-apiserver.ts';
import { startMailServer, type MailServerProcess } from '../operator/mail-server.ts';
import { startOperatorProcess, type OperatorProcess } from '../operator/operator-process.ts';
import { Cluster, exampleDomain, mailServer } from '../operator/operator-under-test.ts';
import { until } from '../operator/until.ts';
import { makeImageFolder } from './image-folder.ts';

export interface Installation extends AsyncDisposable {
  readonly kube: KubeApiserver;
  readonly cluster: Cluster;
  readonly server: MailServerProcess;
  readonly sql: pg.Client;
  startOperator(identity: string): Promise<OperatorProcess>;
}

export async function startInstallation(say: (text: string) => void): Promise<Installation> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-bench-operator-'));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  say('starting Postgres and the API server');
  const postgres = stack.use(await startEmbeddedPostgres({ directory: folder, logger: silentLogger }));
  {
    await using database = createDatabase({ url: postgres.url });
    await migrate(database);
  }
  const sql = new pg.Client({ connectionString: postgres.url });
  await sql.connect();
  stack.defer(() => sql.end());
  const kube = stack.use(await startKubeApiserver({ crds: ['crds'] }));
  const cluster = new Cluster(kube.client({ rate: { perSecond: 5_000, burst: 5_000 }, connections: 16 }));
  await cluster.apply(`${mailServer}---${exampleDomain}`);
  const imageFolder = path.join(folder, 'image');
  await mkdir(imageFolder);
  const image = await makeImageFolder(imageFolder);
  const startOperator = (identity: string): Promise<OperatorProcess> =>
    startOperatorProcess({
      kubeconfig: kube.kubeconfig,
      databaseUrl: postgres.url,
      identity,
      ...image,
      env: { BENCH_ACCESS: JSON.stringify(kube.access) },
    });
  say('starting the operator and a server');
  {
    // It makes the keyring that the server needs.
    await using first = await startOperator('first');
    await until(
      () => first.isLeading(),
      30_000,
      () => first.log(),
    );
    await cluster.keyring();
    first.process.kill('SIGTERM');
    await first.ended;
  }
  const server = stack.use(await startMailServer({ databaseUrl: postgres.url, keyring: await cluster.keyring() }));
  const owned = stack.move();
  return { kube, cluster, server, sql, startOperator, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Of a series of `/metrics`, all its lines that match summed. */
export async function metric(operator: OperatorProcess, pattern: RegExp): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${operator.httpPort}/metrics`)).text();
  return sumOf(text, pattern);
}

export function sumOf(text: string, pattern: RegExp): number {
  return text
    .split('\n')
    .filter((line) => !line.startsWith('#') && pattern.test(line))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
}

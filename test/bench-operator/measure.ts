/** Each figure of figures.ts, measured on a running installation. Seconds unless told. */
import { setTimeout as sleep } from 'node:timers/promises';
import { mailboxes, type Mailbox } from '#operator/api/mailbox.ts';
import { forEachBounded } from '#shared/base/bounded.ts';
import type { Writable } from '#operator/kube/resource.ts';
import { findCondition } from '#operator/status/condition.ts';
import type { OperatorProcess } from '../operator/operator-process.ts';
import { mailbox } from '../operator/operator-under-test.ts';
import { until } from '../operator/until.ts';
import { metric, sumOf, type Installation } from './installation.ts';

const appliesAtOnce = 16;
const longMs = 600_000;

const seconds = (from: number): number => (performance.now() - from) / 1000;
const isReady = ({ status }: Mailbox): boolean => findCondition(status, 'Ready')?.status === 'True';

/** Applies them as fast as the API server takes them, and waits until every one is Ready. */
export async function allReady({ cluster }: Installation, operator: OperatorProcess, count: number): Promise<number> {
  const { client } = cluster;
  const startedAt = performance.now();
  const numbers = Array.from({ length: count }, (_, i) => i + 1);
  await forEachBounded(numbers, appliesAtOnce, async (n) => {
    await client.create(mailboxes, mailboxOf(`u${n}`));
  });
  // To watch them all here would cost the API server as much as one more operator; it is asked in the end. Metrics of
  // thousands of resources cost the operator as much as several of them, so they are not asked for all the time either.
  const ready = /^postrider_operator_objects\{kind="Mailbox",ready="True"/;
  await until(async () => {
    await sleep(2_000);
    return (await metric(operator, ready)) >= count;
  }, longMs);
  const took = seconds(startedAt);
  const { items } = await client.list(mailboxes);
  const missing = items.filter((item) => !isReady(item)).length;
  if (missing > 0 || items.length < count) throw new Error(`${missing} of ${items.length} mailboxes are not Ready`);
  return took;
}

function mailboxOf(name: string): Writable<Mailbox> {
  return {
    apiVersion: 'postrider.dev/v1alpha1',
    kind: 'Mailbox',
    metadata: { namespace: 'default', name },
    // The API server fills in the rest.
    spec: { address: `${name}@example.test` } as Mailbox['spec'],
  };
}

/** From before the apply to a login with the password of the Secret that was made for it. */
export async function applyToLogin({ cluster, server }: Installation, count: number): Promise<readonly number[]> {
  const samples: number[] = [];
  for (let n = 1; n <= count; n++) {
    const name = `single${n}`;
    const startedAt = performance.now();
    await cluster.apply(mailbox(name));
    let password: string | undefined;
    await until(async () => {
      password ??= (await cluster.secret(`${name}-mailbox`))?.['password'];
      return password !== undefined && (await server.logsIn(`${name}@example.test`, password));
    }, 60_000);
    samples.push(seconds(startedAt));
  }
  return samples;
}

export async function secretRotation({ cluster, server }: Installation, count: number): Promise<readonly number[]> {
  const login = (password: string): string => `
apiVersion: v1
kind: Secret
metadata: {name: rotated-login}
stringData: {password: ${password}}
`;
  const address = 'rotated@example.test';
  const follow = 'password: {mode: SecretRef, secretRef: {name: rotated-login}}';
  await cluster.apply(`${login('password 0')}---${mailbox('rotated', follow)}`);
  await until(() => server.logsIn(address, 'password 0'), 60_000);
  const samples: number[] = [];
  for (let n = 1; n <= count; n++) {
    const startedAt = performance.now();
    await cluster.apply(login(`password ${n}`));
    await until(async () => !(await server.logsIn(address, `password ${n - 1}`)), 60_000);
    samples.push(seconds(startedAt));
    await until(() => server.logsIn(address, `password ${n}`), 60_000);
  }
  return samples;
}

export async function rowRepair({ sql }: Installation, count: number): Promise<readonly number[]> {
  const samples: number[] = [];
  for (let n = 1; n <= count; n++) {
    const startedAt = performance.now();
    await sql.query(`update account set suspended = true where local_part = 'rotated'`);
    await until(async () => {
      const { rows } = await sql.query<{ suspended: boolean }>(
        `select suspended from account where local_part = 'rotated'`,
      );
      return rows[0]?.suspended === false;
    }, 60_000);
    samples.push(seconds(startedAt));
  }
  return samples;
}

/** Requests a second, over half a minute in which nothing happens. */
export async function idleRequests(operator: OperatorProcess): Promise<number> {
  const requests = /^rest_client_requests_total/;
  // Statuses that are still to be written are not what is asked about.
  await sleep(12_000);
  const before = await metric(operator, requests);
  const startedAt = performance.now();
  await sleep(30_000);
  return ((await metric(operator, requests)) - before) / seconds(startedAt);
}

export type Restarted = { readonly tookSeconds: number; readonly writes: number; readonly operator: OperatorProcess };

/** Stops the operator, starts another, and waits until that one has compared everything. */
export async function restart(installation: Installation, running: OperatorProcess): Promise<Restarted> {
  running.process.kill('SIGTERM');
  await running.ended;
  const before = await writesSoFar(installation);
  const startedAt = performance.now();
  const operator = await installation.startOperator('again');
  const passes = /^postrider_operator_directory_passes_total/;
  await until(
    () => operator.isLeading(),
    60_000,
    () => operator.log(),
  );
  await until(
    async () => (await metric(operator, passes)) > 0,
    60_000,
    () => operator.log(),
  );
  const tookSeconds = seconds(startedAt);
  // What it would write, it would write soon.
  await sleep(3_000);
  return { tookSeconds, writes: (await writesSoFar(installation)) - before, operator };
}

/**
 * Rows, and objects of ours and Secrets, as both servers have counted. Servers note in credentials when they were used:
 * of those their versions count, which rise with each password.
 */
async function writesSoFar({ kube, sql }: Installation): Promise<number> {
  const text = await kube.client().getText('/metrics');
  const objects = sumOf(
    text,
    /^apiserver_request_total\{(?=.*verb="(?:POST|PUT|PATCH|APPLY|DELETE)")(?=.*resource="(?:mail\w+|secrets)")/,
  );
  const { rows } = await sql.query<{ count: string }>(
    `select (sum(n_tup_ins + n_tup_upd + n_tup_del) + (select coalesce(sum(version), 0) from credential))::text as count
      from pg_stat_user_tables
      where relname in ('account', 'address', 'alias', 'domain', 'domain_name', 'mail_credential')`,
  );
  return objects + Number(rows[0]?.count ?? 0);
}

/** From the signal to the leader to a change that the other process has followed. */
export async function handOver(
  installation: Installation,
  leader: OperatorProcess,
  signal: 'SIGKILL' | 'SIGTERM',
): Promise<{ readonly tookSeconds: number; readonly operator: OperatorProcess }> {
  const { cluster, sql } = installation;
  const operator = await installation.startOperator(`after ${signal}`);
  await until(
    () => operator.log().includes('kube.lease.wait'),
    60_000,
    () => operator.log(),
  );
  await until(async () => (await fetch(`http://127.0.0.1:${operator.httpPort}/readyz`)).status === 200, 60_000);
  const startedAt = performance.now();
  leader.process.kill(signal);
  const name = `handed-over-${signal.toLowerCase()}`;
  await cluster.apply(mailbox(name));
  await until(
    async () => (await sql.query('select from account where local_part = $1', [name])).rowCount === 1,
    60_000,
  );
  return { tookSeconds: seconds(startedAt), operator };
}

/** Megabytes that are in memory now. */
export async function memoryOf(operator: OperatorProcess): Promise<number> {
  return (await metric(operator, /^process_resident_memory_bytes/)) / 1e6;
}

/** kubectl and helm as a person would use them, on the cluster of KUBECONFIG. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import process from 'node:process';
import { promisify } from 'node:util';
import { stringify } from 'yaml';

export const namespace = process.env['E2E_NAMESPACE'] ?? 'postrider-e2e';
export const release = 'postrider';

/** Rejects with what the program printed on standard error. */
export async function run(program: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(program, [...args], { maxBuffer: 64 * 1024 * 1024 });
  return stdout;
}

export function kubectl(...args: readonly string[]): Promise<string> {
  return run('kubectl', '--namespace', namespace, ...args);
}

export function helm(...args: readonly string[]): Promise<string> {
  return run('helm', ...args, '--namespace', namespace);
}

export type Kubernetes = {
  readonly apiVersion?: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly generation?: number;
    readonly labels?: Readonly<Record<string, string>>;
    readonly deletionTimestamp?: string;
  };
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>> & {
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason: string;
      readonly message: string;
    }[];
  };
  readonly data?: Readonly<Record<string, string>>;
};

/** Null where there is none. */
export async function get(kind: string, name: string, where = namespace): Promise<Kubernetes | null> {
  const text = await run('kubectl', '--namespace', where, 'get', kind, name, '--ignore-not-found', '-o', 'json');
  return text === '' ? null : (JSON.parse(text) as Kubernetes);
}

export async function list(kinds: string, ...options: readonly string[]): Promise<readonly Kubernetes[]> {
  return (JSON.parse(await kubectl('get', kinds, '-o', 'json', ...options)) as { items: readonly Kubernetes[] }).items;
}

/** Into the namespace of this run. */
export async function apply(...objects: readonly object[]): Promise<void> {
  await applyIn(namespace, ...objects);
}

export async function applyIn(where: string, ...objects: readonly object[]): Promise<void> {
  const child = spawn('kubectl', ['--namespace', where, 'apply', '-f', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  child.stdin.end(objects.map((object) => stringify(object)).join('---\n'));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`kubectl apply: ${errors}`);
}

/** A value of a Secret as text; null where it or its key is not there. */
export async function secretValue(name: string, key: string, where = namespace): Promise<string | null> {
  const value = (await get('secret', name, where))?.data?.[key];
  return value === undefined ? null : Buffer.from(value, 'base64').toString('utf8');
}

/** Whether the condition holds for the generation that is there now. */
export function hasCondition({ metadata, status }: Kubernetes, type: string, wanted = 'True'): boolean {
  const isCurrent =
    status?.['observedGeneration'] === undefined || status['observedGeneration'] === metadata.generation;
  return isCurrent && status?.conditions?.some((one) => one.type === type && one.status === wanted) === true;
}

/** Pods of a part of the installation that are not going away. */
export async function podsOf(component: string): Promise<readonly Kubernetes[]> {
  const pods = await list(
    'pods',
    '-l',
    `app.kubernetes.io/instance=${release},app.kubernetes.io/component=${component}`,
  );
  return pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
}

export function isReady({ status }: Kubernetes): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === 'Ready' && is === 'True') === true;
}

/** Whether a Deployment has so many pods, all of its newest template and ready, and no others. */
export async function isRolledOut(name: string, replicas?: number): Promise<boolean> {
  const deployment = await get('deployment', name);
  const { status = {}, metadata, spec = {} } = deployment ?? { metadata: {} };
  const wanted = replicas ?? Number(spec['replicas'] ?? 1);
  return (
    status['observedGeneration'] === metadata.generation &&
    ['replicas', 'updatedReplicas', 'readyReplicas', 'availableReplicas'].every((key) => (status[key] ?? 0) === wanted)
  );
}

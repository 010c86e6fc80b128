/** A real Kubernetes API server (kube-apiserver and its etcd) on free ports of loopback, in a folder of its own. */
import { spawn, type ChildProcess } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Registry } from 'prom-client';
import { parseAllDocuments, stringify } from 'yaml';
import { systemClock } from '#shared/base/clock.ts';
import { kubeMetricTable } from '#shared/observe/kube-metrics.ts';
import { silentLogger } from '#shared/observe/logger.ts';
import { createMetricsOf } from '#shared/observe/metric-table.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { createKubeClient, type HttpClientOptions } from '#operator/kube/http-client.ts';
import type { KubeAccess } from '#operator/kube/kube-access.ts';
import { isForbidden, isNotFound, isUnreachable, KubeError } from '#operator/kube/kube-error.ts';
import type { KubeObject, ResourceType, Writable } from '#operator/kube/resource.ts';
import { makeAuthority } from './certificates.ts';
import { kubeAssets } from './kube-assets.ts';
import { freePorts } from './ports.ts';

/** Long, for machines that do much else meanwhile. */
const startWithinMs = 90_000;

export type KubeApiserverOptions = {
  /** Folders or files of CustomResourceDefinitions to apply; they are served when `startKubeApiserver` resolves. */
  readonly crds?: readonly string[];
  /** Who may log in beside the administrator, and the groups they are in: `accessOf(name)`. */
  readonly users?: Readonly<Record<string, readonly string[]>>;
};

export interface KubeApiserver extends AsyncDisposable {
  /** The administrator's. */
  readonly access: KubeAccess;
  /** The same as a file, for kubectl and other programs. */
  readonly kubeconfig: string;
  /** The programs' folder: `kubectl` is there. */
  readonly assets: string;
  accessOf(user: string): KubeAccess;
  /** A client of the administrator's; the server disposes of it. */
  client(more?: Partial<HttpClientOptions>): KubeClient;
  applyCrds(...paths: readonly string[]): Promise<void>;
  /** Makes etcd forget every version before the present one. */
  compact(): Promise<void>;
  /** Kills kube-apiserver; etcd and its port stay. */
  kill(): Promise<void>;
  /** After `kill`. */
  start(): Promise<void>;
}

export async function startKubeApiserver(options: KubeApiserverOptions = {}): Promise<KubeApiserver> {
  const assets = kubeAssets();
  if (assets === null) throw new Error('there are no programs of a Kubernetes API server: `make envtest`');
  const folder = await mkdtemp(path.join(os.tmpdir(), 'postrider-kube-'));
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  const [etcdPort = 0, peerPort = 0, port = 0] = await freePorts(3);
  const identity = await writeIdentity(folder, options.users ?? {});

  const etcdUrl = `http://127.0.0.1:${etcdPort}`;
  const etcd = run(path.join(assets, 'etcd'), path.join(folder, 'etcd.log'), [
    `--data-dir=${folder}/etcd`,
    `--listen-client-urls=${etcdUrl}`,
    `--advertise-client-urls=${etcdUrl}`,
    `--listen-peer-urls=http://127.0.0.1:${peerPort}`,
    '--unsafe-no-fsync',
    '--log-level=error',
  ]);
  cleanup.defer(() => etcd.end());
  const access = (token: string): KubeAccess => ({
    server: `https://127.0.0.1:${port}`,
    ca: identity.ca,
    certificate: null,
    login: { token },
    skipsVerification: false,
    serverName: 'localhost',
    namespace: 'default',
  });
  const admin = access(identity.tokens['admin'] ?? '');
  const kubeconfig = path.join(folder, 'kubeconfig');
  await writeFile(kubeconfig, kubeconfigOf(admin, identity.tokens['admin'] ?? ''), { mode: 0o600 });

  const arguments_ = apiserverArguments(folder, etcdUrl, port);
  const clients = new AsyncDisposableStack();
  let apiserver: Running | null = null;
  cleanup.defer(async () => {
    await clients.disposeAsync();
    await apiserver?.end();
  });
  const client = (more: Partial<HttpClientOptions> = {}): KubeClient =>
    clients.use(createKubeClient({ ...testClientOptions(), access: admin, ...more }));
  const start = async (): Promise<void> => {
    apiserver = run(path.join(assets, 'kube-apiserver'), path.join(folder, 'kube-apiserver.log'), arguments_);
    await untilReady(client(), apiserver, path.join(folder, 'kube-apiserver.log'));
  };
  const applyCrds = async (...paths: readonly string[]): Promise<void> => {
    for (const file of paths) await applyCrdsOf(client(), file);
  };
  await start();
  await applyCrds(...(options.crds ?? []));
  const owned = cleanup.move();
  return {
    access: admin,
    kubeconfig,
    assets,
    accessOf: (user) => access(identity.tokens[user] ?? ''),
    client,
    applyCrds,
    compact: () => compactEtcd(etcdUrl),
    async kill() {
      await apiserver?.end();
    },
    start,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** What a client in a test counts and logs with: nobody looks. */
export function testClientOptions() {
  return {
    name: 'postrider-test',
    logger: silentLogger,
    clock: systemClock,
    metrics: createMetricsOf(kubeMetricTable, new Registry()),
  } satisfies Partial<HttpClientOptions>;
}

type Identity = { readonly ca: string; readonly tokens: Readonly<Record<string, string>> };

/** Writes the server's certificate, the key of service account tokens, and the users' tokens. */
async function writeIdentity(folder: string, users: Readonly<Record<string, readonly string[]>>): Promise<Identity> {
  const authority = await makeAuthority('Test authority');
  const own = await authority.issue(['localhost']);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const all: Readonly<Record<string, readonly string[]>> = { ...users, admin: ['system:masters'] };
  const tokens = Object.fromEntries(Object.keys(all).map((user) => [user, `token-of-${user}`]));
  const lines = Object.entries(all).map(
    ([user, groups]) => `${tokens[user]},${user},uid-of-${user},"${groups.join(',')}"`,
  );
  await writeFile(path.join(folder, 'tls.crt'), own.cert);
  await writeFile(path.join(folder, 'tls.key'), own.key, { mode: 0o600 });
  await writeFile(path.join(folder, 'sa.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
  await writeFile(path.join(folder, 'tokens.csv'), `${lines.join('\n')}\n`, { mode: 0o600 });
  return { ca: authority.cert, tokens };
}

function apiserverArguments(folder: string, etcdUrl: string, port: number): readonly string[] {
  return [
    `--etcd-servers=${etcdUrl}`,
    '--bind-address=127.0.0.1',
    '--advertise-address=127.0.0.1',
    `--secure-port=${port}`,
    `--cert-dir=${folder}`,
    `--tls-cert-file=${folder}/tls.crt`,
    `--tls-private-key-file=${folder}/tls.key`,
    `--token-auth-file=${folder}/tokens.csv`,
    '--authorization-mode=RBAC',
    '--service-account-issuer=https://kubernetes.default.svc',
    `--service-account-key-file=${folder}/sa.key`,
    `--service-account-signing-key-file=${folder}/sa.key`,
    '--service-cluster-ip-range=10.0.0.0/24',
    // Nothing makes the service account that pods would need: there is no controller manager.
    '--disable-admission-plugins=ServiceAccount',
    '--allow-privileged=true',
    '--shutdown-delay-duration=0s',
    '--v=1',
  ];
}

/** One of Kubernetes' own programs can be told to use it. */
function kubeconfigOf(access: KubeAccess, token: string): string {
  const ca = Buffer.from(access.ca ?? '').toString('base64');
  const cluster = { server: access.server, 'tls-server-name': access.serverName, 'certificate-authority-data': ca };
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
    clusters: [{ name: 'test', cluster }],
    users: [{ name: 'admin', user: { token } }],
  });
}

type Running = { readonly child: ChildProcess; end(): Promise<void> };

function run(program: string, logFile: string, arguments_: readonly string[]): Running {
  const child = spawn(program, arguments_, { stdio: ['ignore', 'pipe', 'pipe'] });
  const log = createWriteStream(logFile, { flags: 'a' });
  child.stdout.pipe(log, { end: false });
  child.stderr.pipe(log, { end: false });
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  // A test run that ends without its clean-up leaves nothing behind.
  const killed = (): void => void child.kill('SIGKILL');
  process.once('exit', killed);
  return {
    child,
    async end() {
      child.kill('SIGKILL');
      await ended;
      process.removeListener('exit', killed);
      log.end();
    },
  };
}

/** By etcd's HTTP gateway: the version comes from a read of nothing. */
async function compactEtcd(url: string): Promise<void> {
  const ask = async (path: string, body: object): Promise<unknown> => {
    const answer = await fetch(`${url}/v3/kv/${path}`, { method: 'POST', body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(`etcd ${path}: ${answer.status} ${await answer.text()}`);
    return await answer.json();
  };
  const { header } = (await ask('range', { key: Buffer.from('none').toString('base64') })) as {
    readonly header: { readonly revision: string };
  };
  await ask('compaction', { revision: header.revision, physical: true });
}

async function untilReady(client: KubeClient, { child }: Running, logFile: string): Promise<void> {
  const endsAt = Date.now() + startWithinMs;
  for (;;) {
    try {
      await client.getText('/readyz', { deadlineMs: 2_000 });
      return;
    } catch (error) {
      if (!(error instanceof KubeError)) throw error;
      if (Date.now() > endsAt || child.exitCode !== null) {
        const log = (await readFile(logFile, 'utf8')).slice(-3_000);
        throw new Error(`kube-apiserver did not become ready:\n${log}`, { cause: error });
      }
    }
    await delay(100);
  }
}

type CrdObject = KubeObject & {
  readonly spec: {
    readonly group: string;
    readonly names: { readonly plural: string; readonly kind: string };
    readonly scope: 'Namespaced' | 'Cluster';
    readonly versions: readonly { readonly name: string; readonly served: boolean }[];
  };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
};

export const crdType: ResourceType<CrdObject> = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  kind: 'CustomResourceDefinition',
  isNamespaced: false,
};

async function applyCrdsOf(client: KubeClient, at: string): Promise<void> {
  const files = at.endsWith('.yaml')
    ? [at]
    : (await readdir(at)).filter((file) => file.endsWith('.yaml')).map((file) => path.join(at, file));
  for (const file of files) {
    for (const document of parseAllDocuments(await readFile(file, 'utf8'))) {
      await applyCrd(client, document.toJS() as Writable<CrdObject>);
    }
  }
}

/** Applies a CustomResourceDefinition and waits until its objects are served. */
export async function applyCrd(client: KubeClient, crd: Writable<CrdObject>): Promise<void> {
  await client.apply(crdType, crd);
  const { group, names, scope, versions } = crd.spec;
  const version = versions.find(({ served }) => served)?.name ?? '';
  const type: ResourceType = { group, version, ...names, isNamespaced: scope === 'Namespaced' };
  const endsAt = Date.now() + startWithinMs;
  for (;;) {
    try {
      await client.list(type);
      return;
    } catch (error) {
      if (!(isNotFound(error) || isUnreachable(error) || isForbidden(error)) || Date.now() > endsAt) throw error;
    }
    await delay(50);
  }
}

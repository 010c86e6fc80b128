/** Two releases of the operator in one cluster, each with its namespace and its database, that watch everything. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../harness/database.ts';
import { startKubeApiserver, type KubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { startFaultProxy, type FaultProxy } from '../kube/fault-proxy.ts';
import { Cluster, startTestOperator } from './operator-under-test.ts';

const soon = { timeout: 30_000, interval: 50 };
const releases = ['blue', 'green'] as const;

describe.skipIf(lacksKube())('two releases that watch the same namespaces', () => {
  const stack = new AsyncDisposableStack();
  let kube: KubeApiserver;
  let cluster: Cluster;
  const databases = new Map<string, TestDatabase>();
  const proxies = new Map<string, FaultProxy>();

  beforeAll(async () => {
    kube = stack.use(await startKubeApiserver({ crds: ['crds'] }));
    cluster = new Cluster(kube.client());
    for (const release of releases) {
      await cluster.apply(serverOf(release));
      const database = stack.use(await createTestDatabase());
      const proxy = stack.use(await startFaultProxy(kube.access));
      databases.set(release, database);
      proxies.set(release, proxy);
      stack.use(
        await startTestOperator({
          access: proxy.access,
          databaseUrl: database.url,
          env: { OPERATOR_NAMESPACE: release },
        }),
      );
      await cluster.becomes('MailServer', 'default', release, 'Synced');
    }
  }, 180_000);
  afterAll(() => stack.disposeAsync());

  const accounts = async (release: string): Promise<readonly string[]> => {
    const client = new pg.Client({ connectionString: databases.get(release)?.url });
    await client.connect();
    try {
      const sql = `select local_part || '@' || d.name as address from account join domain d on d.id = domain_id order by 1`;
      return (await client.query<{ address: string }>(sql)).rows.map(({ address }) => address);
    } finally {
      await client.end();
    }
  };
  const isReady = async (kind: string, name: string, namespace: string): Promise<void> => {
    await expect.poll(() => cluster.says(kind, name, 'Ready', namespace), soon).toBe('True Ready');
  };
  /** Writes of a release to what is at a path. */
  const writes = (release: string, path: string): readonly string[] =>
    (proxies.get(release)?.seen ?? [])
      .filter((seen) => seen.method !== 'GET' && seen.path.includes(path))
      .map((seen) => `${seen.method} ${seen.path.replace(/\?.*$/, '')}`);

  test('each follows what belongs to its MailServer, and says nothing of what is the other’s', async () => {
    for (const release of releases) {
      const namespace = `${release}-tenant`;
      await cluster.apply(domainOf('own', `${release}.test`, namespace, release, ', policyRef: {name: usual}'));
      // From here on both know whose it is, and with it whose everything at the domain is.
      const says = () => cluster.says('MailDomain', 'own', 'Accepted', namespace);
      await expect.poll(says, soon).toBe('False PolicyNotFound');
    }
    await cluster.apply(releases.map((release) => tenantOf(release)).join('---'));
    for (const release of releases) {
      for (const [kind, name] of [
        ['MailDomain', 'own'],
        ['Mailbox', 'alice'],
        ['MailAlias', 'team'],
        ['MailCredential', 'shop'],
        ['MailPolicy', 'usual'],
      ] as const) {
        await isReady(kind, name, `${release}-tenant`);
      }
      await isReady('MailRoute', 'out', release);
      expect(await accounts(release)).toEqual([`alice@${release}.test`]);
    }
    for (const [release, other] of [
      ['blue', 'green'],
      ['green', 'blue'],
    ] as const) {
      expect(writes(release, `/namespaces/${other}-tenant/`)).toEqual([]);
      expect(writes(release, `/namespaces/${other}/`)).toEqual([]);
    }
  });

  test('one domain that both have: what is in a namespace goes by the domain that lets it in', async () => {
    for (const release of releases) {
      await cluster.apply(domainOf('shared', 'shared.test', `${release}-tenant`, release));
      await isReady('MailDomain', 'shared', `${release}-tenant`);
    }
    await cluster.apply(mailboxOf('bob', 'bob@shared.test', 'green-tenant'));
    await isReady('Mailbox', 'bob', 'green-tenant');
    expect(await accounts('green')).toEqual(['alice@green.test', 'bob@shared.test']);
    expect(await accounts('blue')).toEqual(['alice@blue.test']);
    expect(writes('blue', '/namespaces/green-tenant/')).toEqual([]);
  });

  test('what belongs to nobody is told of, and nobody writes it twice', async () => {
    await cluster.apply(
      `${domainOf('lost', 'lost.test', 'elsewhere', 'nowhere')}---${mailboxOf('carol', 'carol@nobody.test', 'elsewhere')}`,
    );
    const says = (kind: string, name: string) => () => cluster.says(kind, name, 'Accepted', 'elsewhere');
    await expect.poll(says('MailDomain', 'lost'), soon).toBe('False ServerNotFound');
    await expect.poll(says('Mailbox', 'carol'), soon).toBe('False DomainNotFound');
    // Each has looked at a later change, and did nothing about these.
    await cluster.apply(
      releases.map((release) => mailboxOf('dave', `dave@${release}.test`, `${release}-tenant`)).join('---'),
    );
    for (const release of releases) await isReady('Mailbox', 'dave', `${release}-tenant`);
    for (const release of releases) {
      for (const path of ['maildomains/lost', 'mailboxes/carol'])
        expect(writes(release, path).length).toBeLessThanOrEqual(3);
    }
  });
});

function serverOf(release: string): string {
  return `
apiVersion: postrider.dev/v1alpha1
kind: MailServer
metadata: {name: default, namespace: ${release}}
spec: {hostname: mail.${release}.test, domains: ['*.test'], allowedNamespaces: {from: All}}
`;
}

function domainOf(name: string, domain: string, namespace: string, release: string, more = ''): string {
  return `
apiVersion: postrider.dev/v1alpha1
kind: MailDomain
metadata: {name: ${name}, namespace: ${namespace}}
spec: {domain: ${domain}, serverRef: {name: default, namespace: ${release}}${more}}
`;
}

function mailboxOf(name: string, address: string, namespace: string): string {
  return `
apiVersion: postrider.dev/v1alpha1
kind: Mailbox
metadata: {name: ${name}, namespace: ${namespace}}
spec: {address: ${address}, deletionPolicy: Delete}
`;
}

function tenantOf(release: string): string {
  const namespace = `${release}-tenant`;
  return [
    mailboxOf('alice', `alice@${release}.test`, namespace),
    `
apiVersion: postrider.dev/v1alpha1
kind: MailPolicy
metadata: {name: usual, namespace: ${namespace}}
spec: {maxMessageSize: 1Mi}
`,
    `
apiVersion: postrider.dev/v1alpha1
kind: MailAlias
metadata: {name: team, namespace: ${namespace}}
spec: {address: team@${release}.test, members: [alice@${release}.test]}
`,
    `
apiVersion: postrider.dev/v1alpha1
kind: MailCredential
metadata: {name: shop, namespace: ${namespace}}
spec: {allowedSenders: [orders@${release}.test]}
`,
    `
apiVersion: postrider.dev/v1alpha1
kind: MailRoute
metadata: {name: out, namespace: ${release}}
spec: {targets: [{type: Direct}]}
`,
  ].join('---');
}

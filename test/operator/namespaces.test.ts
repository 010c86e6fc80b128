/** A namespace that is deleted, with everything in it, while the database is away. */
import { execFile } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ownTypes } from '#operator/foundation/resource-caches.ts';
import { namespaces, secrets } from '#operator/kube/core-resources.ts';
import type { ResourceType } from '#operator/kube/resource.ts';
import { createTestDatabase, type TestDatabase } from '../harness/database.ts';
import { startKubeApiserver, type KubeApiserver } from '../harness/kube-apiserver.ts';
import { lacksKube } from '../harness/kube-assets.ts';
import { startProxy, type Proxy } from '../harness/proxy.ts';
import { Cluster, exampleDomain, mailServer, startTestOperator } from './operator-under-test.ts';

const soon = { timeout: 30_000, interval: 50 };
const team = 'team';

describe.skipIf(lacksKube())('a namespace that is deleted while the database is away', () => {
  const stack = new AsyncDisposableStack();
  let kube: KubeApiserver;
  let database: TestDatabase;
  let postgres: Proxy;
  let cluster: Cluster;

  beforeAll(async () => {
    database = stack.use(await createTestDatabase());
    postgres = stack.use(await startProxy(database.url));
    kube = stack.use(await startKubeApiserver({ crds: ['crds'] }));
    cluster = new Cluster(kube.client());
    stack.use(await startTestOperator({ access: kube.access, databaseUrl: postgres.through(database.url) }));
    await cluster.apply([mailServer, exampleDomain, ofTheTeam].join('---'));
    for (const [kind, name] of everything) await cluster.becomes(kind, name, team);
  }, 180_000);
  afterAll(() => stack.disposeAsync());

  const query = async (sql: string): Promise<readonly object[]> => {
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      return (await client.query<object>(sql)).rows;
    } finally {
      await client.end();
    }
  };
  const finalize = (): Promise<void> => {
    const body = JSON.stringify({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: team },
      spec: { finalizers: [] },
    });
    return new Promise((resolve, reject) => {
      const at = `/api/v1/namespaces/${team}/finalize`;
      const args = ['--kubeconfig', kube.kubeconfig, 'replace', '--raw', at, '-f', '-'];
      const child = execFile(path.join(kube.assets, 'kubectl'), args, (error) => (error ? reject(error) : resolve()));
      child.stdin?.end(body);
    });
  };

  test('finalizers wait for the database and for nothing else; then rows go as their resources said', async () => {
    postgres.refuse(true);
    postgres.cut();
    await cluster.client.delete(namespaces, { name: team });
    const controller = new NamespaceController(cluster, [...ownTypes, secrets], finalize);
    const gone = controller.run();
    gone.catch(() => undefined);
    try {
      // What is to be removed waits, and says what for. All else has gone at once.
      await expect
        .poll(() => cluster.says('Mailbox', 'doomed', 'Deleting', team), soon)
        .toBe('True DatabaseUnavailable');
      await expect
        .poll(async () => (await controller.left()).toSorted(), soon)
        .toEqual(['MailAlias/list', 'MailDomain/own', 'Mailbox/at-own', 'Mailbox/doomed']);
      // Nobody can make anything there any more, and it was not tried for long either.
      expect(await cluster.secret('kept-mailbox', team)).toBeNull();
    } finally {
      postgres.refuse(false);
    }
    await gone;
    await expect
      .poll(() => cluster.client.get(namespaces, { name: team }).then(String, () => 'gone'), soon)
      .toBe('gone');
    const accounts = () =>
      query(`select local_part as name, retained_at is not null as is_retained, resource_uid is not null as follows
        from account where local_part in ('kept', 'orphan', 'doomed', 'at-own') order by 1`);
    await expect.poll(accounts, soon).toEqual([
      { name: 'kept', is_retained: true, follows: true },
      { name: 'orphan', is_retained: false, follows: false },
    ]);
    await expect.poll(() => query(`select from alias where local_part = 'list'`), soon).toEqual([]);
    await expect.poll(() => query(`select from domain where name = 'own.test'`), soon).toEqual([]);
    await expect.poll(() => query(`select from mail_credential`), soon).toEqual([]);
  }, 120_000);

  test('the namespace made anew has its mailbox again, with its mail and a new password', async () => {
    const [before] = await query(`select id::text from account where local_part = 'kept'`);
    await cluster.makeNamespace(team);
    await cluster.apply(mailboxOf('kept', 'kept@example.test', 'Retain'));
    await expect.poll(() => cluster.says('Mailbox', 'kept', 'Ready', team), soon).toBe('True Ready');
    expect(await query(`select id::text from account where local_part = 'kept' and retained_at is null`)).toEqual([
      before,
    ]);
    expect((await cluster.secret('kept-mailbox', team))?.['password']).toMatch(/^\w{32}$/);
  });
});

/** What kube-controller-manager does with a namespace that is being deleted. */
class NamespaceController {
  readonly #cluster: Cluster;
  readonly #types: readonly ResourceType[];
  readonly #finalize: () => Promise<void>;

  constructor(cluster: Cluster, types: readonly ResourceType[], finalize: () => Promise<void>) {
    this.#cluster = cluster;
    this.#types = types;
    this.#finalize = finalize;
  }

  /** Deletes everything again and again; resolves once nothing is left and the namespace was let go of. */
  async run(): Promise<void> {
    for (;;) {
      const left = await this.#objects();
      if (left.length === 0) break;
      for (const { type, name } of left) await this.#cluster.client.delete(type, { namespace: team, name });
      await sleep(100);
    }
    await this.#finalize();
  }

  async left(): Promise<readonly string[]> {
    return (await this.#objects()).map(({ type, name }) => `${type.kind}/${name}`);
  }

  async #objects(): Promise<readonly { readonly type: ResourceType; readonly name: string }[]> {
    const found: { readonly type: ResourceType; readonly name: string }[] = [];
    for (const type of this.#types) {
      const { items } = await this.#cluster.client.list(type, { namespace: team });
      found.push(...items.map(({ metadata: { name } }) => ({ type, name })));
    }
    return found;
  }
}

function mailboxOf(name: string, address: string, deletionPolicy: string): string {
  return `
apiVersion: postrider.dev/v1alpha1
kind: Mailbox
metadata: {name: ${name}, namespace: ${team}}
spec: {address: ${address}, deletionPolicy: ${deletionPolicy}, deletionGracePeriod: 0s}
`;
}

const everything = [
  ['MailDomain', 'own'],
  ['Mailbox', 'kept'],
  ['Mailbox', 'orphan'],
  ['Mailbox', 'doomed'],
  ['Mailbox', 'at-own'],
  ['MailAlias', 'list'],
  ['MailCredential', 'shop'],
  ['MailPolicy', 'usual'],
] as const;
const ofTheTeam = [
  `
apiVersion: postrider.dev/v1alpha1
kind: MailDomain
metadata: {name: own, namespace: ${team}}
spec: {domain: own.test, serverRef: {name: default, namespace: default}, policyRef: {name: usual}, deletionPolicy: Delete}
`,
  mailboxOf('kept', 'kept@example.test', 'Retain'),
  mailboxOf('orphan', 'orphan@example.test', 'Orphan'),
  mailboxOf('doomed', 'doomed@example.test', 'Delete'),
  mailboxOf('at-own', 'at-own@own.test', 'Delete'),
  `
apiVersion: postrider.dev/v1alpha1
kind: MailAlias
metadata: {name: list, namespace: ${team}}
spec: {address: list@example.test, members: [kept@example.test], deletionPolicy: Delete}
`,
  `
apiVersion: postrider.dev/v1alpha1
kind: MailCredential
metadata: {name: shop, namespace: ${team}}
spec: {allowedSenders: [orders@own.test]}
`,
  `
apiVersion: postrider.dev/v1alpha1
kind: MailPolicy
metadata: {name: usual, namespace: ${team}}
spec: {maxMessageSize: 1Mi}
`,
].join('---');

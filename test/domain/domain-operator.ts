/** The operator's parts for domains, on a real API server, a real Postgres and a DNS of the test's own. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { systemClock } from '#shared/base/clock.ts';
import { loadOperatorConfig } from '#shared/config/operator-config.ts';
import { createDatabase, type PostgresDatabase } from '#shared/db/client.ts';
import { createKeyring } from '#shared/directory/keyring.ts';
import { Health } from '#shared/observe/health.ts';
import { silentLogger } from '#shared/observe/logger.ts';
import { createOperatorMetrics } from '#shared/observe/operator-metrics.ts';
import { takeEpoch } from '#shared/reconcile/leader-epoch.ts';
import { mailDomains, type MailDomain } from '#operator/api/mail-domain.ts';
import { mailServers, type MailServer } from '#operator/api/mail-server.ts';
import { openDomainControllers } from '#operator/domain/domain-controllers.ts';
import type { OperatorFoundation } from '#operator/foundation/operator-foundation.ts';
import { openResourceCaches, ownCaches, ownTypes } from '#operator/foundation/resource-caches.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { namespaces } from '#operator/kube/core-resources.ts';
import type { ResourceType } from '#operator/kube/resource.ts';
import { StatusBoard } from '#operator/status/status-board.ts';
import { createTestDatabase } from '../harness/database.ts';
import type { DnsRoot } from '../harness/dns-root.ts';
import { startKubeApiserver, type KubeApiserver } from '../harness/kube-apiserver.ts';

export const namespace = 'mail';

export interface DomainBench extends AsyncDisposable {
  readonly kube: KubeApiserver;
  readonly client: KubeClient;
  readonly database: PostgresDatabase;
  readonly foundation: OperatorFoundation;
  /** Rejects when a part hears that another leader has the database. */
  readonly deposed: Promise<never>;
  /** Starts the parts; disposing ends them, as a restart does. */
  open(): Promise<AsyncDisposable>;
}

/** Without `root` no name server answers. */
export async function openDomainBench(root: DnsRoot | null): Promise<DomainBench> {
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await createTestDatabase());
  const database = stack.use(createDatabase({ url: server.url, maxConnections: 6 }));
  const kube = stack.use(await startKubeApiserver({ crds: ['crds'] }));
  const client = kube.client();
  const { config } = loadOperatorConfig({
    DATABASE_URL: server.url,
    DNS_SERVERS: `127.0.0.1:${root?.validating.port ?? 1}`,
    DNS_AUTHORITY_PORT: String(root?.blind.port ?? 1),
  });
  const metrics = createOperatorMetrics();
  const common = { client, logger: silentLogger, clock: systemClock, metrics };
  const resources = stack.use(openResourceCaches({ ...common, namespaces: [] }));
  const events = { record: () => undefined } as unknown as OperatorFoundation['events'];
  const board = stack.use(new StatusBoard({ ...common, events, types: ownTypes }));
  for (const cache of ownCaches(resources)) {
    stack.use(
      cache.onChange(({ kind, object }) => {
        if (kind === 'deleted') board.forget(object.metadata.uid);
        else board.observe(object);
      }),
    );
  }
  await resources.synced;
  const { promise: deposed, reject } = Promise.withResolvers<never>();
  deposed.catch(() => undefined);
  const foundation: OperatorFoundation = {
    ...common,
    config,
    health: new Health(),
    namespace,
    resources,
    database,
    board,
    events,
    lost: new AbortController().signal,
    keyring: createKeyring(new Map([['k', randomBytes(32)]]), 'k'),
    epoch: await takeEpoch(database.db, 'test'),
    deposed: reject,
  };
  await client.create(namespaces, { apiVersion: 'v1', kind: 'Namespace', metadata: { name: namespace } });
  const owned = stack.move();
  return {
    kube,
    client,
    database,
    foundation,
    deposed,
    open: () => openDomainControllers(foundation),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

export function applyServer(client: KubeClient, spec: Record<string, unknown> = {}): Promise<MailServer> {
  return client.apply(mailServers, {
    apiVersion: 'postrider.dev/v1alpha1',
    kind: 'MailServer',
    metadata: { namespace, name: 'default' },
    spec: { hostname: 'mx.server.test', ...spec } as MailServer['spec'],
  });
}

export function applyDomain(
  client: KubeClient,
  domain: string,
  spec: Record<string, unknown> = {},
): Promise<MailDomain> {
  return client.apply(mailDomains, {
    apiVersion: 'postrider.dev/v1alpha1',
    kind: 'MailDomain',
    metadata: { namespace, name: domain },
    spec: { domain, ...spec } as MailDomain['spec'],
  });
}

/** As the directory's part of the operator does when it takes a domain: its row, and Accepted. */
export async function accept({ database, foundation }: DomainBench, domain: MailDomain): Promise<void> {
  const { uid, name, generation = 0 } = domain.metadata;
  await sql`
    with made as (
      insert into domain (name, resource_uid, resource_name, managed_by, dkim_rotation_seconds, dkim_overlap_seconds)
        values (${domain.spec.domain}, ${uid}, ${`${namespace}/${name}`}, 'reconciler', 1000000, 0) returning id)
    insert into domain_name (name, domain_id) select ${domain.spec.domain}, id from made`.execute(database.db);
  foundation.board.report(domain, 'directory', {
    generation,
    conditions: [{ type: 'Accepted', status: 'True', reason: 'Accepted', message: '' }],
  });
}

/** The status as soon as `isSo` is true of it; rejects with the last one after 30 s. */
export function statusWhen(
  client: KubeClient,
  name: string,
  isSo: (status: NonNullable<MailDomain['status']>) => boolean,
): Promise<NonNullable<MailDomain['status']>> {
  return whenOf(client, mailDomains, name, isSo);
}

export function serverStatusWhen(
  client: KubeClient,
  isSo: (status: NonNullable<MailServer['status']>) => boolean,
): Promise<NonNullable<MailServer['status']>> {
  return whenOf(client, mailServers, 'default', isSo);
}

async function whenOf<T extends MailDomain | MailServer>(
  client: KubeClient,
  type: ResourceType<T>,
  name: string,
  isSo: (status: NonNullable<T['status']>) => boolean,
): Promise<NonNullable<T['status']>> {
  for (let tries = 0; ; tries++) {
    const { status } = (await client.get(type, { namespace, name })) as { readonly status?: NonNullable<T['status']> };
    if (status && isSo(status)) return status;
    if (tries === 300) throw new Error(`not so: ${JSON.stringify({ ...status, dnsRecords: 0 })}`);
    await sleep(100);
  }
}

/** "True Active" */
export function condition(status: MailDomain['status'] | MailServer['status'], type: string): string {
  const found = status?.conditions?.find((each) => each.type === type);
  return found ? `${found.status} ${found.reason}` : 'none';
}

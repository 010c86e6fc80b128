/** The part of the operator that sees to domains' DNS, keys and certificates. */
import { parseDnsServer, systemDnsServers } from '#shared/dns/system-servers.ts';
import { createResolver } from '#shared/dns/resolver.ts';
import { StaleEpoch } from '#shared/reconcile/leader-epoch.ts';
import { managedLabel } from '#operator/foundation/resource-caches.ts';
import type { OperatorFoundation } from '#operator/foundation/operator-foundation.ts';
import { Controller, type ControllerOptions } from '#operator/kube/controller.ts';
import { keyOf } from '#operator/kube/resource.ts';
import { AcmeAccounts } from './acme-account.ts';
import { managedCertificates } from './cert-manager.ts';
import { Certificates } from './certificates.ts';
import { dnsEndpoints, DnsPublisher } from './dns-endpoints.ts';
import type { DnsLookOptions } from './dns-look.ts';
import { DomainDns } from './domain-dns.ts';
import { OptionalKind } from './optional-kind.ts';
import { certificateKey, changesWish, followOwned, followSecrets } from './triggers.ts';

/** Domains whose DNS is looked at at a time. */
const dnsWorkers = 4;
const certificateWorkers = 2;
const labelSelector = `${managedLabel}=true`;

export async function openDomainControllers(foundation: OperatorFoundation): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  await openDns(foundation, stack);
  openCertificates(foundation, stack);
  return stack.move();
}

async function openDns(foundation: OperatorFoundation, stack: AsyncDisposableStack): Promise<void> {
  const { config, client, resources } = foundation;
  const namespaces = config.watchedNamespaces;
  const endpoints = stack.use(
    new OptionalKind(dnsEndpoints, labelSelector, { ...foundation, namespaces, isEnabled: config.externalDns }),
  );
  const publisher = new DnsPublisher(client, endpoints);
  const dns = new DomainDns({ foundation, look: await lookOptions(foundation), publisher });
  const controller = openController(foundation, stack, {
    name: 'maildomain-dns',
    workers: dnsWorkers,
    reconcile: (key, signal) => dns.reconcile(key, signal).finally(() => showCounts(foundation, dns)),
  });
  const enqueue = ({ metadata }: { readonly metadata: { readonly namespace?: string; readonly name: string } }): void =>
    controller.enqueue(keyOf(metadata));
  stack.use(
    resources.domains.onChange((change) => {
      if (change.kind === 'deleted') dns.forget(change.object.metadata.uid);
      else if (changesWish(change)) enqueue(change.object);
    }),
  );
  stack.use(
    resources.servers.onChange((change) => {
      if (!changesWish(change)) return;
      const { namespace, name } = change.object.metadata;
      for (const domain of resources.domains.items()) {
        const { serverRef } = domain.spec;
        const isIts = serverRef?.name === name && (serverRef.namespace ?? domain.metadata.namespace) === namespace;
        if (isIts) enqueue(domain);
      }
    }),
  );
  followOwned(endpoints, (uid) => {
    const domain = resources.domains.byUid(uid);
    if (domain) enqueue(domain);
  });
  for (const domain of resources.domains.items()) enqueue(domain);
  controller.start();
}

function openCertificates(foundation: OperatorFoundation, stack: AsyncDisposableStack): void {
  const { config, resources } = foundation;
  const namespaces = config.watchedNamespaces;
  const kind = stack.use(
    new OptionalKind(managedCertificates, labelSelector, { ...foundation, namespaces, isEnabled: config.certManager }),
  );
  const accounts = stack.use(new AcmeAccounts(foundation));
  const certificates = new Certificates(foundation, kind, accounts);
  const controller = openController(foundation, stack, {
    name: 'certificate',
    workers: certificateWorkers,
    reconcile: async (key) => {
      if (key !== orphansKey) return certificates.reconcile(key);
      for (const orphan of await certificates.orphans()) controller.enqueue(orphan);
      await certificates.forgetOrders();
      return { afterMs: orphansEveryMs };
    },
  });
  for (const cache of [resources.servers, resources.domains]) {
    stack.use(
      cache.onChange((change) => {
        if (change.kind === 'deleted' || changesWish(change)) controller.enqueue(certificateKey(change.object));
      }),
    );
    for (const object of cache.items()) controller.enqueue(certificateKey(object));
  }
  // Its domains order from the authority that it names.
  stack.use(
    resources.servers.onChange((change) => {
      if (!changesWish(change)) return;
      const { metadata } = change.object;
      for (const domain of resources.domains.items()) {
        const { name, namespace = domain.metadata.namespace } = domain.spec.serverRef;
        const isIts = name === metadata.name && namespace === metadata.namespace;
        if (isIts && domain.spec.tls?.mode === 'ACME') controller.enqueue(certificateKey(domain));
      }
    }),
  );
  followSecrets(foundation, stack, (key) => controller.enqueue(key));
  followOwned(kind, (uid) => {
    const object = resources.servers.byUid(uid) ?? resources.domains.byUid(uid);
    if (object) controller.enqueue(certificateKey(object));
  });
  controller.enqueue(orphansKey, { priority: 'low' });
  controller.start();
}

/** Not of a resource: stands for rows of resources that went while nobody looked. */
const orphansKey = 'orphans';
const orphansEveryMs = 3600_000;

type Work = Pick<ControllerOptions, 'name' | 'workers' | 'reconcile'>;

function openController(
  foundation: OperatorFoundation,
  stack: AsyncDisposableStack,
  { name, workers, reconcile }: Work,
): Controller {
  const { logger, metrics, clock } = foundation;
  const fenced: Work['reconcile'] = async (key, signal) => {
    try {
      return await reconcile(key, signal);
    } catch (error) {
      if (error instanceof StaleEpoch) foundation.deposed(error);
      throw error;
    }
  };
  return stack.use(new Controller({ name, workers, reconcile: fenced, logger, metrics, clock }));
}

async function lookOptions({ config, clock }: OperatorFoundation): Promise<DnsLookOptions> {
  const given = config.dnsServers.flatMap((text) => parseDnsServer(text) ?? []);
  const resolvers = given.length > 0 ? given : await systemDnsServers();
  return {
    resolver: createResolver({ servers: resolvers, clock }),
    resolvers,
    random: Math.random,
    port: config.dnsAuthorityPort,
  };
}

function showCounts({ metrics }: OperatorFoundation, dns: DomainDns): void {
  for (const [state, count] of dns.countRecords()) metrics.dnsRecords.set({ state }, count);
  for (const [state, count] of dns.countKeys()) metrics.dkimKeys.set({ state }, count);
}

/** The part of the operator that sees to domains' DNS, keys and certificates. */
import { parseDnsServer, systemDnsServers } from '#shared/dns/system-servers.ts';
import { createResolver } from '#shared/dns/resolver.ts';
import type { MailDomain } from '#operator/api/mail-domain.ts';
import { managedLabel } from '#operator/foundation/resource-caches.ts';
import type { OperatorFoundation } from '#operator/foundation/operator-foundation.ts';
import { Controller } from '#operator/kube/controller.ts';
import type { Change } from '#operator/kube/object-store.ts';
import { keyOf } from '#operator/kube/resource.ts';
import { findCondition } from '#operator/status/condition.ts';
import { StaleEpoch } from '#shared/reconcile/leader-epoch.ts';
import { dnsEndpoints, DnsPublisher } from './dns-endpoints.ts';
import type { DnsLookOptions } from './dns-look.ts';
import { DomainDns } from './domain-dns.ts';
import { OptionalKind } from './optional-kind.ts';

/** Domains whose DNS is looked at at a time. */
const dnsWorkers = 4;

export async function openDomainControllers(foundation: OperatorFoundation): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const { config, client } = foundation;
  const kinds = { ...foundation, client, namespaces: config.watchedNamespaces };
  const endpoints = stack.use(new OptionalKind(dnsEndpoints, `${managedLabel}=true`, kinds));
  const dns = new DomainDns({
    foundation,
    look: await lookOptions(foundation),
    publisher: new DnsPublisher(client, endpoints),
  });
  const controller = stack.use(
    new Controller({
      ...foundation,
      name: 'maildomain-dns',
      workers: dnsWorkers,
      reconcile: async (key, signal) => {
        try {
          return await dns.reconcile(key, signal);
        } catch (error) {
          if (error instanceof StaleEpoch) foundation.deposed(error);
          throw error;
        } finally {
          showCounts(foundation, dns);
        }
      },
    }),
  );
  follow(foundation, dns, (key) => controller.enqueue(key), stack);
  endpoints.onChange(({ metadata }) => {
    for (const owner of metadata.ownerReferences ?? []) {
      const domain = foundation.resources.domains.byUid(owner.uid);
      if (domain) controller.enqueue(keyOf(domain.metadata));
    }
  });
  controller.start();
  return stack.move();
}

function follow(
  { resources }: OperatorFoundation,
  dns: DomainDns,
  enqueue: (key: string) => void,
  stack: AsyncDisposableStack,
): void {
  const { domains, servers } = resources;
  stack.use(
    domains.onChange((change) => {
      if (change.kind === 'deleted') dns.forget(change.object.metadata.uid);
      else if (matters(change)) enqueue(keyOf(change.object.metadata));
    }),
  );
  stack.use(
    servers.onChange((change) => {
      if (change.kind === 'changed' && change.old.metadata.generation === change.object.metadata.generation) return;
      const { namespace, name } = change.object.metadata;
      for (const { metadata, spec } of domains.items()) {
        const { serverRef } = spec;
        if (serverRef?.name === name && (serverRef.namespace ?? metadata.namespace) === namespace) {
          enqueue(keyOf(metadata));
        }
      }
    }),
  );
  for (const { metadata } of domains.items()) enqueue(keyOf(metadata));
}

/** The wish is another one, or the domain has a row by now. */
function matters(change: Change<MailDomain>): boolean {
  if (change.kind !== 'changed') return true;
  const { old, object } = change;
  if (old.metadata.generation !== object.metadata.generation) return true;
  const said = ({ status }: MailDomain): string =>
    ['Accepted', 'Synced'].map((type) => findCondition(status, type)?.status ?? '').join();
  return said(old) !== said(object);
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

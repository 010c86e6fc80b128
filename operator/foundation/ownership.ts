/**
 * Whose a resource is, where several releases of the operator watch the same namespaces. A MailDomain belongs to the
 * release in whose namespace its `serverRef` looks for a MailServer; what is at a domain belongs to whom the domain
 * belongs to. A release says nothing of what is another's, so that no two write one status in turns. What belongs to
 * nobody, such as a MailDomain whose MailServer is not there, is told of by all, in the same words.
 */
import { allowedNamespaces, selects } from '#shared/provisioning/label-selector.ts';
import type { MailDomain } from '#operator/api/mail-domain.ts';
import { keyOf } from '#operator/kube/resource.ts';
import type { OperatorBasis } from './operator-foundation.ts';
import type { OwnObject } from './resource-caches.ts';

/** Whether a resource is this release's to follow, or nobody's. */
export type IsOurs = (object: OwnObject) => boolean;

type Basis = {
  readonly resources: Pick<OperatorBasis['resources'], 'domains' | 'otherServers' | 'namespaces'>;
  readonly namespace: string;
  readonly config: Pick<OperatorBasis['config'], 'watchedNamespaces'>;
};

/** As the caches have it at this moment; costs nothing where no other release is in sight. */
export function ownershipNow({ resources, namespace, config }: Basis): IsOurs {
  // A MailServer counts when an operator has told of it: those that tenants make for themselves have no status.
  const served = resources.otherServers.items().filter(({ status }) => (status?.conditions ?? []).length > 0);
  const servers = new Set(served.map(({ metadata }) => keyOf(metadata)));
  const { watchedNamespaces } = config;
  const isForeign = ({ metadata, spec }: MailDomain): boolean => {
    const { name, namespace: at = metadata.namespace ?? '' } = spec.serverRef;
    if (at === namespace) return false;
    const isInSight = watchedNamespaces.length === 0 || watchedNamespaces.includes(at);
    return !isInSight || servers.has(keyOf({ namespace: at, name }));
  };
  const domains = resources.domains.items();
  const foreign = new Set(domains.filter(isForeign));
  if (foreign.size === 0 && servers.size === 0) return () => true;
  const labels = new Map(resources.namespaces.items().map(({ metadata }) => [metadata.name, metadata.labels ?? {}]));
  const byName = new Map<string, MailDomain[]>();
  for (const domain of domains) {
    for (const name of [domain.spec.domain, ...(domain.spec.aliasDomains ?? [])]) {
      byName.set(name, [...(byName.get(name) ?? []), domain]);
    }
  }
  /**
   * Of several MailDomains those of the namespace itself count, else those that let it in, and of these the oldest: who
   * lets everybody in may not thereby have what is in a namespace that has its own.
   */
  const isOldestOurs = (all: readonly MailDomain[], from: string): boolean => {
    const own = all.filter(({ metadata }) => metadata.namespace === from);
    const open = own.length > 0 ? own : all.filter((domain) => isOpenTo(domain, labels.get(from) ?? {}));
    const [oldest] = (open.length > 0 ? open : all).toSorted(byAge);
    return oldest === undefined || !foreign.has(oldest);
  };
  const namespacesServed = new Set(served.map(({ metadata }) => metadata.namespace));
  return (object) => {
    const { metadata, spec } = object;
    const from = metadata.namespace ?? '';
    if (object.kind === 'MailDomain') return !foreign.has(object as MailDomain);
    if (object.kind === 'MailRoute') return from === namespace || !namespacesServed.has(from);
    if ('address' in spec) return isOldestOurs(byName.get(domainOf(spec.address)) ?? [], from);
    if ('allowedSenders' in spec) {
      return isOldestOurs(
        spec.allowedSenders.flatMap((sender) => byName.get(domainOf(sender)) ?? []),
        from,
      );
    }
    if (object.kind !== 'MailPolicy') return true;
    const attached = domains.filter((each) => isAttached(each, from, metadata.name));
    return isOldestOurs(attached, from);
  };
}

function domainOf(address: string): string {
  return address.slice(address.lastIndexOf('@') + 1);
}

function isAttached({ metadata, spec }: MailDomain, namespace: string, policy: string): boolean {
  return metadata.namespace === namespace && spec.policyRef?.name === policy;
}

/** To another namespace than its own. */
function isOpenTo({ spec }: MailDomain, labels: Readonly<Record<string, string>>): boolean {
  const { data } = allowedNamespaces.safeParse(spec.allowedNamespaces);
  if (data?.from === 'All') return true;
  return data?.from === 'Selector' && data.selector !== undefined && selects(data.selector, labels);
}

/** As both releases see it. */
function byAge({ metadata: a }: MailDomain, { metadata: b }: MailDomain): number {
  if (a.creationTimestamp !== b.creationTimestamp) return a.creationTimestamp < b.creationTimestamp ? -1 : 1;
  return a.uid < b.uid ? -1 : 1;
}

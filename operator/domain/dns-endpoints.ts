/** Records as DNSEndpoints of external-dns, which writes them into the zone with the cluster's credentials. */
import { isDeepStrictEqual } from 'node:util';
import { unreachable } from '#shared/base/unreachable.ts';
import { isForbidden, isInvalid, isNotFound } from '#operator/kube/kube-error.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { refOf, type KubeObject, type ResourceType, type Writable } from '#operator/kube/resource.ts';
import type { ConditionReport } from '#operator/status/condition.ts';
import { managedLabel } from '#operator/foundation/resource-caches.ts';
import type { OptionalKind, Presence } from './optional-kind.ts';
import type { WantedRecord } from './wanted-records.ts';

type Endpoint = {
  readonly dnsName: string;
  readonly recordType: string;
  readonly recordTTL: number;
  readonly targets: readonly string[];
};

export type DnsEndpoint = KubeObject & {
  readonly spec: { readonly endpoints: readonly Endpoint[] };
  readonly status?: { readonly observedGeneration?: number };
};

export const dnsEndpoints: ResourceType<DnsEndpoint> = {
  group: 'externaldns.k8s.io',
  version: 'v1alpha1',
  plural: 'dnsendpoints',
  kind: 'DNSEndpoint',
  isNamespaced: true,
};

/**
 * What is to be published of a domain. Nothing of a name that is not proved: external-dns may write into zones that
 * whoever made the MailDomain may not; so the challenge is never among it. Pure.
 */
export function endpointsOf(wanted: readonly WantedRecord[], isProved: (name: string) => boolean): readonly Endpoint[] {
  return wanted
    .filter(({ name, purpose }) => purpose !== 'challenge' && purpose !== 'ptr' && isProved(name))
    .map(({ name, type, ttlSeconds, values }) => ({
      dnsName: name,
      recordType: type,
      recordTTL: ttlSeconds,
      // external-dns takes names without the final dot, but for the targets of SRV records.
      targets: type === 'MX' || type === 'CNAME' ? values.map((value) => value.replace(/\.$/, '')) : values,
    }));
}

export type Publication = {
  readonly owner: KubeObject & { readonly metadata: { readonly namespace?: string } };
  readonly isWanted: boolean;
  readonly endpoints: readonly Endpoint[];
};

export type Published =
  | { readonly kind: 'not-wanted' }
  /** It is not known yet whether the cluster has the kind. */
  | { readonly kind: 'starting' }
  /** `isObserved`: external-dns has taken it up. */
  | { readonly kind: 'published'; readonly isObserved: boolean }
  | { readonly kind: 'refused'; readonly condition: ConditionReport };

export class DnsPublisher {
  readonly #client: KubeClient;
  readonly #kind: OptionalKind<DnsEndpoint>;

  constructor(client: KubeClient, kind: OptionalKind<DnsEndpoint>) {
    this.#client = client;
    this.#kind = kind;
  }

  /** Brings the DNSEndpoint of a MailDomain to what it should be; asks the API server only where it is not so. */
  async publish({ owner, isWanted, endpoints }: Publication): Promise<Published> {
    const { namespace = '', name, uid } = owner.metadata;
    const at = { namespace, name: `${name}-mail` };
    const known = this.#kind.get(namespace, at.name);
    if (!isWanted || endpoints.length === 0) {
      if (known && isOwnedBy(known, uid)) await this.#client.delete(dnsEndpoints, at, { uid: known.metadata.uid });
      return { kind: 'not-wanted' };
    }
    const { presence } = this.#kind;
    if (presence === 'starting') return { kind: 'starting' };
    if (presence !== 'served') return notServed(presence);
    if (known && isOwnedBy(known, uid) && isDeepStrictEqual(known.spec.endpoints, endpoints)) {
      return { kind: 'published', isObserved: known.status?.observedGeneration === known.metadata.generation };
    }
    return this.#write(owner, at, endpoints);
  }

  async #write(
    owner: KubeObject,
    at: { readonly namespace: string; readonly name: string },
    endpoints: readonly Endpoint[],
  ): Promise<Published> {
    try {
      const other = await this.#client.get(dnsEndpoints, at).catch((error: unknown) => {
        if (isNotFound(error)) return null;
        throw error;
      });
      if (other && !isOwnedBy(other, owner.metadata.uid)) {
        return refused('DNSEndpointNotOwned', `there is a DNSEndpoint ${at.name} already that is not this domain's`);
      }
      await this.#client.apply(dnsEndpoints, endpointObject(owner, at, endpoints));
      return { kind: 'published', isObserved: false };
    } catch (error) {
      if (isNotFound(error)) return notServed('missing');
      if (isForbidden(error) || isInvalid(error)) {
        return refused(
          'DNSEndpointRefused',
          `the API server does not take the DNSEndpoint ${at.name}: ${error.reason}`,
        );
      }
      throw error;
    }
  }
}

function isOwnedBy({ metadata }: KubeObject, uid: string): boolean {
  return metadata.ownerReferences?.some((owner) => owner.uid === uid) === true;
}

function endpointObject(
  owner: KubeObject,
  at: { readonly namespace: string; readonly name: string },
  endpoints: readonly Endpoint[],
): Writable<DnsEndpoint> {
  const { apiVersion, kind, name, uid } = refOf(owner);
  return {
    apiVersion: 'externaldns.k8s.io/v1alpha1',
    kind: 'DNSEndpoint',
    metadata: {
      ...at,
      labels: { [managedLabel]: 'true' },
      ownerReferences: [{ apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: false }],
    },
    spec: { endpoints },
  };
}

function notServed(presence: Exclude<Presence, 'served' | 'starting'>): Published {
  switch (presence) {
    case 'missing':
      return refused(
        'DNSEndpointCRDMissing',
        'spec.dns.publish asks for a DNSEndpoint, but the cluster does not have that kind; install the CRD of external-dns',
      );
    case 'off':
      return refused('DNSEndpointOff', 'the operator is told not to write DNSEndpoints (EXTERNAL_DNS)');
    case 'unreadable':
      return refused('DNSEndpointUnreadable', 'the operator can’t read DNSEndpoints; its role has to allow it');
    default:
      return unreachable(presence);
  }
}

function refused(reason: string, message: string): Published {
  return { kind: 'refused', condition: { type: 'DNSReady', status: 'False', reason, message } };
}

/** The objects of the caches as typed resources, each read once as long as nothing but its status changes. */
import { isDeepStrictEqual } from 'node:util';
import type { ResourceFault } from '#shared/provisioning/fault.ts';
import { readClusterObject, type ClusterKind } from '#shared/provisioning/cluster-object.ts';
import type { Resource, Resources } from '#shared/provisioning/resource.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
import type { IsOurs } from '#operator/foundation/ownership.ts';
import type { OwnObject, ResourceCaches } from '#operator/foundation/resource-caches.ts';

/** With it set to "true", nothing is changed for a resource, but for its deletion. */
const pausedAnnotation = 'postrider.dev/paused';

type ReadObject =
  { readonly resource: Resource; readonly fault: null } | { readonly resource: null; readonly fault: ResourceFault };

export type GatheredObjects = {
  readonly resources: Omit<Resources, 'secrets'>;
  /** Those that could not be read; their rows stay as they are. */
  readonly unreadable: readonly ResourceFault[];
  /** By UID; of those, the ones that are being deleted. */
  readonly unreadableDeleting: ReadonlySet<string>;
  /** What the API server has, by UID. */
  readonly objects: ReadonlyMap<string, OwnObject>;
  /** UIDs of resources of other releases, which are left alone. */
  readonly foreign: readonly string[];
};

export class ObjectReader {
  readonly #caches: ResourceCaches;
  #known = new Map<string, { readonly object: KubeObject; readonly read: ReadObject }>();

  constructor(caches: ResourceCaches) {
    this.#caches = caches;
  }

  gather(isOurs: IsOurs): GatheredObjects {
    const { servers, domains, mailboxes, aliases, credentials, routes, policies } = this.#caches;
    const unreadable: ResourceFault[] = [];
    const unreadableDeleting = new Set<string>();
    const foreign: string[] = [];
    const objects = new Map<string, OwnObject>();
    const known = new Map<string, { readonly object: KubeObject; readonly read: ReadObject }>();
    const readAll = (kind: ClusterKind, items: readonly OwnObject[]): readonly Resource[] =>
      items.flatMap((object) => {
        const { uid } = object.metadata;
        if (!isOurs(object)) {
          foreign.push(uid);
          return [];
        }
        const read = this.#read(kind, object);
        known.set(uid, { object, read });
        objects.set(uid, object);
        if (read.resource) return [read.resource];
        unreadable.push(read.fault);
        if (object.metadata.deletionTimestamp !== undefined) unreadableDeleting.add(uid);
        return [];
      });
    const resources = {
      domains: readAll('MailDomain', domains.items()),
      mailboxes: readAll('Mailbox', mailboxes.items()),
      aliases: readAll('MailAlias', aliases.items()),
      routes: readAll('MailRoute', routes.items()),
      credentials: readAll('MailCredential', credentials.items()),
      policies: readAll('MailPolicy', policies.items()),
      servers: readAll('MailServer', servers.items()),
    } as Omit<Resources, 'secrets'>;
    this.#known = known;
    return { resources, unreadable, unreadableDeleting, objects, foreign };
  }

  #read(kind: ClusterKind, object: OwnObject): ReadObject {
    const before = this.#known.get(object.metadata.uid);
    if (before && !differsInWish(before.object, object)) return before.read;
    return readClusterObject(kind, object);
  }
}

/** More than the status is different. */
export function differsInWish(a: KubeObject, b: KubeObject): boolean {
  if (a === b) return false;
  const one = a.metadata;
  const other = b.metadata;
  return (
    one.uid !== other.uid ||
    one.generation !== other.generation ||
    one.deletionTimestamp !== other.deletionTimestamp ||
    !isDeepStrictEqual(one.annotations, other.annotations) ||
    !isDeepStrictEqual(one.labels, other.labels) ||
    !isDeepStrictEqual(one.finalizers, other.finalizers)
  );
}

export function isPaused({ metadata }: KubeObject): boolean {
  return metadata.annotations?.[pausedAnnotation] === 'true' && metadata.deletionTimestamp === undefined;
}

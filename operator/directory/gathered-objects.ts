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

/** Of the object itself only what tells whether it is still the same. */
type Known = Map<string, { readonly metadata: KubeObject['metadata']; readonly read: ReadObject }>;

export class ObjectReader {
  readonly #caches: ResourceCaches;
  #known: Known = new Map();

  constructor(caches: ResourceCaches) {
    this.#caches = caches;
  }

  gather(isOurs: IsOurs): GatheredObjects {
    const { mailboxes, aliases, credentials, routes } = this.#caches;
    const known: Known = new Map();
    const gathering = new Gathering(isOurs, (kind, object) => this.#read(kind, object, known));
    const resources = {
      ...this.#common(gathering),
      mailboxes: gathering.readAll('Mailbox', mailboxes.items()),
      aliases: gathering.readAll('MailAlias', aliases.items()),
      routes: gathering.readAll('MailRoute', routes.items()),
      credentials: gathering.readAll('MailCredential', credentials.items()),
    } as GatheredObjects['resources'];
    this.#known = known;
    return gathering.done(resources);
  }

  /**
   * These Mailboxes, and what all Mailboxes need. Null: one of them is gone or paused, can't be read, or is not ours:
   * everything else may have to do with that.
   */
  gatherSome(uids: ReadonlySet<string>, isOurs: IsOurs): GatheredObjects | null {
    const objects = [...uids].flatMap((uid) => this.#caches.mailboxes.byUid(uid) ?? []);
    if (objects.length < uids.size || objects.some((object) => isPaused(object) || !isOurs(object))) return null;
    const gathering = new Gathering(isOurs, (kind, object) => this.#read(kind, object, this.#known));
    const mailboxes = gathering.readAll('Mailbox', objects);
    if (mailboxes.length < uids.size) return null;
    const resources = { ...this.#common(gathering), mailboxes, aliases: [], routes: [], credentials: [] };
    return gathering.done(resources as unknown as GatheredObjects['resources']);
  }

  #common(gathering: Gathering) {
    const { servers, domains, policies } = this.#caches;
    return {
      domains: gathering.readAll('MailDomain', domains.items()),
      policies: gathering.readAll('MailPolicy', policies.items()),
      servers: gathering.readAll('MailServer', servers.items()),
    };
  }

  /** Once, as long as nothing but the status changes; noted in `known`. */
  #read(kind: ClusterKind, object: OwnObject, known: Known): ReadObject {
    const before = this.#known.get(object.metadata.uid);
    const read = before && !differsInWish(before, object) ? before.read : readClusterObject(kind, object);
    known.set(object.metadata.uid, { metadata: object.metadata, read });
    return read;
  }
}

class Gathering {
  readonly #isOurs: IsOurs;
  readonly #read: (kind: ClusterKind, object: OwnObject) => ReadObject;
  readonly #unreadable: ResourceFault[] = [];
  readonly #unreadableDeleting = new Set<string>();
  readonly #foreign: string[] = [];
  readonly #objects = new Map<string, OwnObject>();

  constructor(isOurs: IsOurs, read: (kind: ClusterKind, object: OwnObject) => ReadObject) {
    this.#isOurs = isOurs;
    this.#read = read;
  }

  readAll(kind: ClusterKind, items: readonly OwnObject[]): readonly Resource[] {
    return items.flatMap((object) => {
      const { uid } = object.metadata;
      if (!this.#isOurs(object)) {
        this.#foreign.push(uid);
        return [];
      }
      const read = this.#read(kind, object);
      this.#objects.set(uid, object);
      if (read.resource) return [read.resource];
      this.#unreadable.push(read.fault);
      if (object.metadata.deletionTimestamp !== undefined) this.#unreadableDeleting.add(uid);
      return [];
    });
  }

  done(resources: GatheredObjects['resources']): GatheredObjects {
    return {
      resources,
      unreadable: this.#unreadable,
      unreadableDeleting: this.#unreadableDeleting,
      objects: this.#objects,
      foreign: this.#foreign,
    };
  }
}

/** More than the status is different. */
export function differsInWish(
  { metadata: one }: Pick<KubeObject, 'metadata'>,
  { metadata: other }: Pick<KubeObject, 'metadata'>,
): boolean {
  if (one === other) return false;
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

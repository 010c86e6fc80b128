/** The caches of everything that the operator looks at, one a kind, whichever namespaces are watched. */
import type { Clock } from '#shared/base/clock.ts';
import type { KubeMetrics } from '#shared/observe/kube-metrics.ts';
import type { Logger } from '#shared/observe/logger.ts';
import { mailAliases, type MailAlias } from '#operator/api/mail-alias.ts';
import { mailCredentials, type MailCredential } from '#operator/api/mail-credential.ts';
import { mailDomains, type MailDomain } from '#operator/api/mail-domain.ts';
import { mailPolicies, type MailPolicy } from '#operator/api/mail-policy.ts';
import { mailRoutes, type MailRoute } from '#operator/api/mail-route.ts';
import { mailServers, type MailServer } from '#operator/api/mail-server.ts';
import { mailboxes, type Mailbox } from '#operator/api/mailbox.ts';
import type { KubeClient, Selection } from '#operator/kube/client.ts';
import { namespaces, secrets, type Namespace, type Secret } from '#operator/kube/core-resources.ts';
import { Informer } from '#operator/kube/informer.ts';
import type { Change } from '#operator/kube/object-store.ts';
import type { KubeObject, ResourceType } from '#operator/kube/resource.ts';

/** On Secrets that the operator makes; only those are held whole. */
export const managedLabel = 'postrider.dev/managed';

export interface ResourceCache<T extends KubeObject> {
  /** All objects, in no order. */
  items(): readonly T[];
  get(namespace: string, name: string): T | undefined;
  byUid(uid: string): T | undefined;
  /** Calls `listener` for each change from now on, after the cache has it. */
  onChange(listener: (change: Change<T>) => void): Disposable;
}

export type ResourceCaches = {
  readonly servers: ResourceCache<MailServer>;
  /** Those of other namespaces, which are other releases' or nobody's. */
  readonly otherServers: ResourceCache<MailServer>;
  readonly domains: ResourceCache<MailDomain>;
  readonly mailboxes: ResourceCache<Mailbox>;
  readonly aliases: ResourceCache<MailAlias>;
  readonly credentials: ResourceCache<MailCredential>;
  readonly routes: ResourceCache<MailRoute>;
  readonly policies: ResourceCache<MailPolicy>;
  /** Empty where only some namespaces are watched: reading Namespaces needs rights in all of the cluster. */
  readonly namespaces: ResourceCache<Namespace>;
  /** Those labelled `postrider.dev/managed: "true"`, with their data. */
  readonly managedSecrets: ResourceCache<Secret>;
  /** All others, with their metadata only. */
  readonly otherSecrets: ResourceCache<Secret>;
};

/** The kinds that have a status of ours. */
export const ownTypes: readonly ResourceType[] = [
  mailServers,
  mailDomains,
  mailboxes,
  mailAliases,
  mailCredentials,
  mailRoutes,
  mailPolicies,
];

/** Our own resources, whatever their kind. */
export type OwnObject = MailServer | MailDomain | Mailbox | MailAlias | MailCredential | MailRoute | MailPolicy;

export function ownCaches(caches: ResourceCaches): readonly ResourceCache<OwnObject>[] {
  const { servers, domains, mailboxes: boxes, aliases, credentials, routes, policies } = caches;
  return [servers, domains, boxes, aliases, credentials, routes, policies] as readonly ResourceCache<OwnObject>[];
}

export type CacheOptions = {
  readonly client: KubeClient;
  /** Those watched; empty: all. */
  readonly namespaces: readonly string[];
  /**
   * Where MailServers are looked for, watched or not; all that are watched unless told. A MailServer says which domains
   * need no proof and lets routes in: one that any tenant makes must not count.
   */
  readonly serverNamespace?: string;
  readonly logger: Logger;
  readonly metrics: KubeMetrics;
  readonly clock: Clock;
};

export interface OpenCaches extends ResourceCaches, AsyncDisposable {
  /** Resolves when all were filled once. */
  readonly synced: Promise<void>;
  /** Why a cache may be behind, for health; null when all is well. */
  check(): string | null;
}

export function openResourceCaches(options: CacheOptions): OpenCaches {
  const all: Informer[] = [];
  const { serverNamespace } = options;
  const open = <T extends KubeObject>(
    type: ResourceType<T>,
    selection: Selection = {},
    namespaces = options.namespaces,
  ): ResourceCache<T> => {
    const isOpen = options.namespaces.length === 0 || !type.isNamespaced || selection.namespace !== undefined;
    const within = isOpen ? [{}] : namespaces.map(inNamespace);
    const informers = within.map((where) => Informer.open({ ...options, type, ...selection, ...where }));
    all.push(...(informers as unknown as Informer[]));
    return new JoinedCache(informers);
  };
  const caches: ResourceCaches = {
    servers: open(mailServers, serverNamespace === undefined ? {} : inNamespace(serverNamespace)),
    otherServers:
      serverNamespace === undefined
        ? new JoinedCache<MailServer>([])
        : open(
            mailServers,
            { fieldSelector: `metadata.namespace!=${serverNamespace}` },
            options.namespaces.filter((namespace) => namespace !== serverNamespace),
          ),
    domains: open(mailDomains),
    mailboxes: open(mailboxes),
    aliases: open(mailAliases),
    credentials: open(mailCredentials),
    routes: open(mailRoutes),
    policies: open(mailPolicies),
    namespaces: options.namespaces.length === 0 ? open(namespaces) : new JoinedCache<Namespace>([]),
    managedSecrets: open(secrets, { labelSelector: `${managedLabel}=true` }),
    otherSecrets: open(secrets, {
      labelSelector: `${managedLabel}!=true`,
      // Releases of Helm are large, many, and never of any use here.
      fieldSelector: 'type!=helm.sh/release.v1',
      metadataOnly: true,
    }),
  };
  return {
    ...caches,
    synced: Promise.all(all.map((informer) => informer.synced)).then(() => undefined),
    check: () => all.map((informer) => informer.check()).find((reason) => reason !== null) ?? null,
    async [Symbol.asyncDispose]() {
      await Promise.all(all.map((informer) => informer[Symbol.asyncDispose]()));
    },
  };
}

function inNamespace(namespace: string): Selection {
  return { namespace };
}

/** Several informers of a kind, one a namespace, as one. */
class JoinedCache<T extends KubeObject> implements ResourceCache<T> {
  readonly #informers: readonly Informer<T>[];

  constructor(informers: readonly Informer<T>[]) {
    this.#informers = informers;
  }

  items(): readonly T[] {
    const [only, ...more] = this.#informers;
    return only && more.length === 0 ? only.items() : this.#informers.flatMap((informer) => informer.items());
  }

  get(namespace: string, name: string): T | undefined {
    return this.#first((informer) => informer.get(namespace, name));
  }

  byUid(uid: string): T | undefined {
    return this.#first((informer) => informer.byUid(uid));
  }

  onChange(listener: (change: Change<T>) => void): Disposable {
    const stack = new DisposableStack();
    for (const informer of this.#informers) stack.use(informer.onChange(listener));
    return stack;
  }

  #first(find: (informer: Informer<T>) => T | undefined): T | undefined {
    for (const informer of this.#informers) {
      const found = find(informer);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

import { readClusterSecret } from '#shared/provisioning/cluster-object.ts';
import type { Resources, SecretResource } from '#shared/provisioning/resource.ts';
import { ownerAnnotation } from '#shared/provisioning/secret.ts';
import { generatedSecretName } from '#shared/provisioning/wanted.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import type { Secret } from '#operator/kube/core-resources.ts';
import { keyOf } from '#operator/kube/resource.ts';
import type { ResourceCaches } from '#operator/foundation/resource-caches.ts';
import { ReferencedSecrets, referencesOf } from './referenced-secrets.ts';

/** UIDs of the Mailboxes that have their password from a Secret; `others`: it is not for Mailboxes alone. */
export type Referrers = readonly string[] | 'others';

/** The Secrets that a comparison needs: ours, and those that resources refer to. */
export class SecretReader {
  readonly #caches: Pick<ResourceCaches, 'managedSecrets' | 'mailboxes'>;
  readonly #referenced: ReferencedSecrets;
  /** `namespace/name` of those that routes refer to. */
  #ofRoutes: ReadonlySet<string> = new Set();
  /** By the object as the cache has it. */
  readonly #read = new WeakMap<Secret, SecretResource>();

  constructor(client: KubeClient, caches: ResourceCaches) {
    this.#caches = caches;
    this.#referenced = new ReferencedSecrets(client, caches.otherSecrets);
  }

  async read(resources: Pick<Resources, 'mailboxes' | 'routes'>): Promise<readonly SecretResource[]> {
    const references = referencesOf(resources);
    this.#ofRoutes = referencesOf({ mailboxes: [], routes: resources.routes });
    const managed = this.#caches.managedSecrets
      .items()
      // One with our label that we did not make is of no use; for whom ours were made is looked at where they are used.
      .filter((secret) => isMadeByUs(secret) || references.has(keyOf(secret.metadata)))
      .map((secret) => this.#readOnce(secret));
    return [...managed, ...(await this.#referenced.read(references))];
  }

  /** Those that these Mailboxes need, of which others may need more. */
  async readOf(mailboxes: Resources['mailboxes']): Promise<readonly SecretResource[]> {
    const references = referencesOf({ mailboxes, routes: [] });
    const own = mailboxes.map(({ namespace, name }) => keyOf({ namespace, name: generatedSecretName(name) }));
    const managed = [...new Set([...own, ...references])].flatMap((key) => {
      const [namespace = '', name = ''] = key.split('/');
      const secret = this.#caches.managedSecrets.get(namespace, name);
      return secret && (isMadeByUs(secret) || references.has(key)) ? [this.#readOnce(secret)] : [];
    });
    return [...managed, ...(await this.#referenced.readMore(references))];
  }

  /** Of a Secret that is not ours. */
  referrersOf({ metadata }: Secret): Referrers {
    const key = keyOf(metadata);
    if (!this.#referenced.isReferenced(key)) return [];
    if (this.#ofRoutes.has(key)) return 'others';
    return this.#caches.mailboxes
      .items()
      .filter(
        ({ metadata: { namespace }, spec }) =>
          spec.password?.secretRef?.name === metadata.name && namespace === metadata.namespace,
      )
      .map((mailbox) => mailbox.metadata.uid);
  }

  /** The Mailbox that a Secret of ours was made for; null: it is of another kind, or somebody refers to it. */
  ownerOf({ metadata }: Secret): string | null {
    const owner = metadata.annotations?.[ownerAnnotation];
    if (owner === undefined || this.#referenced.isReferenced(keyOf(metadata))) return null;
    const [kind, name = ''] = owner.split('/');
    if (kind !== 'Mailbox') return null;
    return this.#caches.mailboxes.get(metadata.namespace ?? '', name)?.metadata.uid ?? null;
  }

  #readOnce(secret: Secret): SecretResource {
    const known = this.#read.get(secret);
    if (known) return known;
    const read = readClusterSecret(secret);
    this.#read.set(secret, read);
    return read;
  }
}

function isMadeByUs({ metadata }: Secret): boolean {
  return metadata.annotations?.[ownerAnnotation] !== undefined;
}

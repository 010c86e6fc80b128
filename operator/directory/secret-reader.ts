import { readClusterSecret } from '#shared/provisioning/cluster-object.ts';
import type { Resources, SecretResource } from '#shared/provisioning/resource.ts';
import { ownerAnnotation } from '#shared/provisioning/secret.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import type { Secret } from '#operator/kube/core-resources.ts';
import { keyOf } from '#operator/kube/resource.ts';
import type { ResourceCaches } from '#operator/foundation/resource-caches.ts';
import { ReferencedSecrets, referencesOf } from './referenced-secrets.ts';

/** The Secrets that a comparison needs: ours, and those that resources refer to. */
export class SecretReader {
  readonly #caches: Pick<ResourceCaches, 'managedSecrets'>;
  readonly #referenced: ReferencedSecrets;
  /** By the object as the cache has it. */
  readonly #read = new WeakMap<Secret, SecretResource>();

  constructor(client: KubeClient, caches: ResourceCaches) {
    this.#caches = caches;
    this.#referenced = new ReferencedSecrets(client, caches.otherSecrets);
  }

  async read(resources: Pick<Resources, 'mailboxes' | 'routes'>): Promise<readonly SecretResource[]> {
    const references = referencesOf(resources);
    const managed = this.#caches.managedSecrets
      .items()
      // One with our label that we did not make is of no use; for whom ours were made is looked at where they are used.
      .filter((secret) => isMadeByUs(secret) || references.has(keyOf(secret.metadata)))
      .map((secret) => this.#readOnce(secret));
    return [...managed, ...(await this.#referenced.read(references))];
  }

  /** Whether a change of this Secret, which is not ours, matters. */
  isReferenced(secret: Secret): boolean {
    return this.#referenced.isReferenced(keyOf(secret.metadata));
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

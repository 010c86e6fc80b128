/**
 * Secrets that the operator makes: the generated password of a Mailbox, the login of a MailCredential. One that is
 * there under the name and is not ours is never touched.
 */
import { isDeepStrictEqual } from 'node:util';
import { generatedAnnotation } from '#shared/directory/generate-password.ts';
import { ownerAnnotation, secretOwner } from '#shared/provisioning/secret.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { secrets, type Secret } from '#operator/kube/core-resources.ts';
import { isAlreadyExists, isConflict, isNotFound, isTerminatingNamespace } from '#operator/kube/kube-error.ts';
import { keyOf, type KubeObject, type OwnerReference, type Writable } from '#operator/kube/resource.ts';
import { managedLabel, type ResourceCaches } from '#operator/foundation/resource-caches.ts';

export type OwnedSecret = {
  readonly owner: KubeObject;
  readonly name: string;
  /** Plain text. */
  readonly values: Readonly<Record<string, string>>;
  /** Of the password among them; null: somebody typed it. */
  readonly generatedMark: string | null;
  /** It goes when its owner goes. */
  readonly goesWithOwner: boolean;
};

/**
 * `taken`: there is a Secret of this name that is not ours. `behind`: ours is another one than the cache has, which will
 * hear of it in a moment. `gone`: the namespace takes no new objects.
 */
export type WriteOutcome = 'written' | 'taken' | 'behind' | 'gone';

function ownerOf({ kind, metadata }: KubeObject): string {
  return secretOwner({ kind, name: metadata.name });
}

function isOwnedBy(secret: Secret, owner: KubeObject): boolean {
  return secret.metadata.annotations?.[ownerAnnotation] === ownerOf(owner);
}

export class OwnedSecrets {
  readonly #client: KubeClient;
  readonly #caches: Pick<ResourceCaches, 'managedSecrets' | 'otherSecrets'>;
  /** Names that somebody else's Secret had when we wanted them. */
  readonly #taken = new Set<string>();

  constructor(client: KubeClient, caches: Pick<ResourceCaches, 'managedSecrets' | 'otherSecrets'>) {
    this.#client = client;
    this.#caches = caches;
  }

  /** Ours under this name, as the cache has it; `taken` where it is somebody else's. */
  find(owner: KubeObject, name: string): Secret | 'taken' | null {
    const namespace = owner.metadata.namespace ?? '';
    const key = keyOf({ namespace, name });
    const managed = this.#caches.managedSecrets.get(namespace, name);
    const isTaken = managed ? !isOwnedBy(managed, owner) : this.#caches.otherSecrets.get(namespace, name) !== undefined;
    if (isTaken) {
      this.#taken.add(key);
      return 'taken';
    }
    this.#taken.delete(key);
    return managed ?? null;
  }

  /** Whether a change of this Secret may free a name that is wanted. */
  isAwaited({ metadata }: Secret): boolean {
    return this.#taken.has(keyOf(metadata));
  }

  /** Makes it as it is to be; asks nothing of the API server where the cache has it like this. */
  async put(wanted: OwnedSecret): Promise<WriteOutcome> {
    const found = this.find(wanted.owner, wanted.name);
    if (found === 'taken') return 'taken';
    const object = secretOf(wanted);
    if (found && isAs(found, object)) return 'written';
    try {
      if (found) await this.#client.apply(secrets, onlyOver(found, object));
      // Not applied: that would take over one that somebody else has made just now.
      else await this.#client.create(secrets, object);
      return 'written';
    } catch (error) {
      if (isAlreadyExists(error)) return this.#whatIsThere(wanted);
      if (isTerminatingNamespace(error)) return 'gone';
      // Changed, deleted, or made anew by somebody: what the cache hears next decides.
      if (isConflict(error) || isNotFound(error)) return 'behind';
      throw error;
    }
  }

  /** Takes a value out of the version that the cache has; of a newer one the cache will hear. */
  async drop({ metadata: { namespace, name, resourceVersion } }: Secret, key: string): Promise<void> {
    const at = { ...(namespace !== undefined && { namespace }), name };
    try {
      await this.#client.patchMerge(secrets, at, { data: { [key]: null } }, { resourceVersion });
    } catch (error) {
      if (!isConflict(error) && !isNotFound(error)) throw error;
    }
  }

  /** The cache lags behind: the one that is there may be what we made a moment ago, with this very password or another. */
  async #whatIsThere({ owner, name, values }: OwnedSecret): Promise<WriteOutcome> {
    try {
      const secret = await this.#client.get(secrets, { namespace: owner.metadata.namespace ?? '', name });
      if (!isOwnedBy(secret, owner)) return 'taken';
      return isDeepStrictEqual(secret.data, encoded(values)) ? 'written' : 'behind';
    } catch (error) {
      if (isNotFound(error)) return 'behind';
      throw error;
    }
  }
}

/** What is written over the version that the cache has, and over no other: a password that is newer is not undone. */
function onlyOver({ metadata: { uid, resourceVersion } }: Secret, object: Writable<Secret>): Writable<Secret> {
  return { ...object, metadata: { ...object.metadata, uid, resourceVersion } };
}

/** The values of a Secret, decoded. */
export function valueOf(secret: Secret, key: string): string | null {
  const text = secret.data?.[key];
  return text === undefined ? null : Buffer.from(text, 'base64').toString('utf8');
}

function secretOf({ owner, name, values, generatedMark, goesWithOwner }: OwnedSecret): Writable<Secret> {
  const { namespace } = owner.metadata;
  return {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      ...(namespace !== undefined && { namespace }),
      name,
      labels: { [managedLabel]: 'true', 'app.kubernetes.io/managed-by': 'postrider-operator' },
      annotations: {
        [ownerAnnotation]: ownerOf(owner),
        ...(generatedMark !== null && { [generatedAnnotation]: generatedMark }),
      },
      ...(goesWithOwner && { ownerReferences: [referenceTo(owner)] }),
    },
    type: 'Opaque',
    data: encoded(values),
  };
}

function referenceTo({ apiVersion, kind, metadata: { name, uid } }: KubeObject): OwnerReference {
  return { apiVersion, kind, name, uid };
}

function encoded(values: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, Buffer.from(value).toString('base64')]));
}

function isAs({ data, metadata }: Secret, wanted: Writable<Secret>): boolean {
  const owners = metadata.ownerReferences ?? [];
  return (
    Object.entries(wanted.data ?? {}).every(([key, value]) => data?.[key] === value) &&
    metadata.annotations?.[generatedAnnotation] === wanted.metadata.annotations?.[generatedAnnotation] &&
    (wanted.metadata.ownerReferences ?? []).every(({ uid }) => owners.some((owner) => owner.uid === uid))
  );
}

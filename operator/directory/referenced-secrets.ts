/**
 * Secrets that resources refer to and that are not ours. Of all Secrets only the metadata is watched; the values of
 * those that are referred to are read when their version changes.
 */
import { forEachBounded } from '#shared/base/bounded.ts';
import { readClusterSecret } from '#shared/provisioning/cluster-object.ts';
import type { MailRouteResource, Resources, SecretResource } from '#shared/provisioning/resource.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { secrets, type Secret } from '#operator/kube/core-resources.ts';
import { isNotFound } from '#operator/kube/kube-error.ts';
import { keyOf } from '#operator/kube/resource.ts';
import type { ResourceCache } from '#operator/foundation/resource-caches.ts';

const readsAtOnce = 6;

type Known = { readonly resourceVersion: string; readonly secret: SecretResource };

export class ReferencedSecrets {
  readonly #client: KubeClient;
  readonly #metadata: ResourceCache<Secret>;
  #known = new Map<string, Known>();
  #referenced = new Set<string>();

  constructor(client: KubeClient, metadata: ResourceCache<Secret>) {
    this.#client = client;
    this.#metadata = metadata;
  }

  /** Whether a change of this Secret (`namespace/name`) matters. */
  isReferenced(key: string): boolean {
    return this.#referenced.has(key);
  }

  /** Those of `keys` that there are, as they are now. Rejects where one can't be read. */
  async read(keys: ReadonlySet<string>): Promise<readonly SecretResource[]> {
    this.#referenced = new Set(keys);
    const known = await this.#readNow(keys);
    this.#known = known;
    return [...known.values()].map(({ secret }) => secret);
  }

  /** As `read`, beside those that were read before. */
  async readMore(keys: ReadonlySet<string>): Promise<readonly SecretResource[]> {
    for (const key of keys) this.#referenced.add(key);
    const known = await this.#readNow(keys);
    for (const [key, secret] of known) this.#known.set(key, secret);
    return [...known.values()].map(({ secret }) => secret);
  }

  async #readNow(keys: ReadonlySet<string>): Promise<Map<string, Known>> {
    const known = new Map<string, Known>();
    await forEachBounded(keys, readsAtOnce, async (key) => {
      const [namespace = '', name = ''] = key.split('/');
      const metadata = this.#metadata.get(namespace, name)?.metadata;
      if (metadata === undefined) return;
      const before = this.#known.get(key);
      if (before?.resourceVersion === metadata.resourceVersion) known.set(key, before);
      else {
        const secret = await this.#get(namespace, name);
        if (secret) known.set(key, secret);
      }
    });
    return known;
  }

  async #get(namespace: string, name: string): Promise<Known | null> {
    try {
      const secret = await this.#client.get(secrets, { namespace, name });
      return { resourceVersion: secret.metadata.resourceVersion, secret: readClusterSecret(secret) };
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  }
}

/** `namespace/name` of each Secret that a resource names. */
export function referencesOf({ mailboxes, routes }: Pick<Resources, 'mailboxes' | 'routes'>): ReadonlySet<string> {
  const keys = new Set<string>();
  for (const { namespace, spec } of mailboxes) {
    const name = spec.password.secretRef?.name;
    if (name !== undefined) keys.add(keyOf({ namespace, name }));
  }
  for (const route of routes) for (const name of namesIn(route)) keys.add(keyOf({ namespace: route.namespace, name }));
  return keys;
}

function namesIn({ spec }: MailRouteResource): readonly string[] {
  return spec.targets.flatMap((target) => {
    const auth = 'authSecretRef' in target ? target.authSecretRef?.name : undefined;
    const ca = 'tls' in target && 'caSecretRef' in target.tls ? target.tls.caSecretRef?.name : undefined;
    const signing = target.type === 'HTTP' ? target.signingSecretRef?.name : undefined;
    const socks = 'socks' in target ? target.socks?.authSecretRef?.name : undefined;
    return [auth, ca, signing, socks].filter((name) => name !== undefined);
  });
}

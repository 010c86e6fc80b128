import type { PassResult } from '#shared/reconcile/directory-pass.ts';
import { generatedAnnotation } from '#shared/directory/generate-password.ts';
import type { MailServer } from '#operator/api/mail-server.ts';
import type { ResourceCaches } from '#operator/foundation/resource-caches.ts';
import { isForbidden, isInvalid } from '#operator/kube/kube-error.ts';
import { credentialValues, type MailHost } from './credential-secret.ts';
import type { GatheredObjects } from './gathered-objects.ts';
import { valueOf, type OwnedSecrets } from './owned-secrets.ts';

/** Where workloads hand in mail: their Secrets follow the MailServer's host name and authority. */
export class CredentialHosts {
  readonly #caches: Pick<ResourceCaches, 'servers' | 'managedSecrets'>;
  readonly #owned: OwnedSecrets;

  constructor(caches: Pick<ResourceCaches, 'servers' | 'managedSecrets'>, owned: OwnedSecrets) {
    this.#caches = caches;
    this.#owned = owned;
  }

  /** Of the oldest MailServer: an operator has one installation. */
  current(): MailHost {
    const [server] = this.#caches.servers.items().toSorted(byCreation);
    if (!server) return { host: 'localhost', authority: null };
    const secretName = server.status?.tls?.secretName;
    const secret =
      secretName === undefined
        ? undefined
        : this.#caches.managedSecrets.get(server.metadata.namespace ?? '', secretName);
    return { host: server.spec.hostname, authority: secret ? valueOf(secret, 'ca.crt') : null };
  }

  /** Secrets that were written for another host or authority are written again, with the password that they have. */
  async refresh({ verdicts }: PassResult, { objects }: GatheredObjects): Promise<void> {
    const host = this.current();
    for (const [uid, { facts }] of verdicts) {
      const owner = objects.get(uid);
      if (!owner || facts.kind !== 'MailCredential') continue;
      const secret = this.#owned.find(owner, facts.secretName);
      const password = secret && secret !== 'taken' ? valueOf(secret, 'password') : null;
      if (!secret || secret === 'taken' || password === null) continue;
      const wanted = {
        owner,
        name: facts.secretName,
        values: credentialValues(facts.username, password, host),
        generatedMark: secret.metadata.annotations?.[generatedAnnotation] ?? null,
        goesWithOwner: true,
      };
      await this.#owned.put(wanted).catch(passOver);
    }
  }
}

/** A Secret that is immutable, or that a webhook protects, keeps no other from being written. */
function passOver(error: unknown): void {
  if (!isForbidden(error) && !isInvalid(error)) throw error;
}

function byCreation(a: MailServer, b: MailServer): number {
  return a.metadata.creationTimestamp < b.metadata.creationTimestamp ? -1 : 1;
}

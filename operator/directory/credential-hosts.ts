import type { PassResult } from '#shared/reconcile/directory-pass.ts';
import { generatedAnnotation } from '#shared/directory/generate-password.ts';
import type { MailServer } from '#operator/api/mail-server.ts';
import type { ResourceCaches } from '#operator/foundation/resource-caches.ts';
import type { Secret } from '#operator/kube/core-resources.ts';
import { isForbidden, isInvalid } from '#operator/kube/kube-error.ts';
import type { KubeObject } from '#operator/kube/resource.ts';
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

  /**
   * For the Secret `name` of a resource: of the oldest MailServer, since an operator has one installation. Null: there
   * is none at the moment. Whom to trust stays as the Secret has it while that is not known.
   */
  hostFor(owner: KubeObject, name: string): MailHost | null {
    const [server] = this.#caches.servers.items().toSorted(byCreation);
    if (!server) return null;
    const host = server.spec.hostname;
    if ((server.spec.tls?.mode ?? 'SelfSigned') !== 'SelfSigned') return { host, authority: null };
    const secretName = server.status?.tls?.secretName;
    const trust =
      secretName === undefined
        ? undefined
        : this.#caches.managedSecrets.get(server.metadata.namespace ?? '', secretName);
    return { host, authority: authorityOf(trust ?? this.#owned.find(owner, name)) };
  }

  /** Secrets that were written for another host or authority are written again, with the password that they have. */
  async refresh({ verdicts }: PassResult, { objects }: GatheredObjects): Promise<void> {
    for (const [uid, { facts }] of verdicts) {
      const owner = objects.get(uid);
      if (!owner || facts.kind !== 'MailCredential') continue;
      const host = this.hostFor(owner, facts.secretName);
      const secret = this.#owned.find(owner, facts.secretName);
      const password = secret && secret !== 'taken' ? valueOf(secret, 'password') : null;
      if (!host || !secret || secret === 'taken' || password === null) continue;
      if (host.authority === null && this.#isOfOurAuthority(authorityOf(secret))) {
        // The server's certificate is another authority's by now: who trusts ours alone would not connect.
        await this.#owned.drop(secret, 'ca.crt').catch(passOver);
        continue;
      }
      const wanted = {
        owner,
        name: facts.secretName,
        values: credentialValues(facts.username, password, host),
        generatedMark: secret.metadata.annotations?.[generatedAnnotation] ?? null,
        goesWithOwner: true,
      };
      // Over the version that was looked at alone: a password that was replaced meanwhile stays.
      await this.#owned.put(wanted).catch(passOver);
    }
  }

  /** Whether it is what was published beside a MailServer for clients to trust. */
  #isOfOurAuthority(trusted: string | null): boolean {
    if (trusted === null) return false;
    const published = this.#caches.managedSecrets
      .items()
      .filter(({ metadata }) => metadata.ownerReferences?.some(({ kind }) => kind === 'MailServer'));
    return published.some((secret) => valueOf(secret, 'ca.crt') === trusted);
  }
}

function authorityOf(secret: Secret | 'taken' | null): string | null {
  return secret && secret !== 'taken' ? valueOf(secret, 'ca.crt') : null;
}

/** A Secret that is immutable, or that a webhook protects, keeps no other from being written. */
function passOver(error: unknown): void {
  if (!isForbidden(error) && !isInvalid(error)) throw error;
}

function byCreation(a: MailServer, b: MailServer): number {
  return a.metadata.creationTimestamp < b.metadata.creationTimestamp ? -1 : 1;
}

/**
 * The account of a MailServer with its ACME authority: a key in a Secret beside it, made once. Another authority, or another
 * external binding, is another account.
 */
import { createHash } from 'node:crypto';
import { AcmeClient } from '#operator/acme/acme-client.ts';
import { AcmeProblem, AcmeUnreachable } from '#operator/acme/acme-problem.ts';
import { newPrivateKey, readAccountKey, type AccountKey, type ExternalBinding } from '#operator/acme/jws.ts';
import type { MailServer } from '#operator/api/mail-server.ts';
import { managedLabel, type ResourceCaches } from '#operator/foundation/resource-caches.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { secrets, type Secret } from '#operator/kube/core-resources.ts';
import { isAlreadyExists, isForbidden, isNotFound } from '#operator/kube/kube-error.ts';
import { refOf } from '#operator/kube/resource.ts';
import type { Fault } from './certificate-policy.ts';

export type AcmeSettings = NonNullable<MailServer['spec']['acme']>;

export type AcmeAccount = {
  readonly client: AcmeClient;
  /** Of its key (RFC 8555 section 8.1). */
  readonly thumbprint: string;
  /** Of all that it is made of: another one is worth another attempt. */
  readonly fingerprint: string;
  /** Throws when the authority did not answer somebody else a moment ago: not everybody waits for it in turn. */
  readonly assertThere: () => void;
  /** Throws what the authority said to somebody else a moment ago, when that was to leave it alone. */
  readonly assertFree: () => void;
  /** Hears of what went wrong. */
  readonly hear: (error: unknown) => void;
};

/** One limit of an authority may be for all of the account: others wait this long before they find out too. */
const limitMs = 60_000;
const awayMs = 15_000;

export class AcmeAccounts implements Disposable {
  readonly #client: KubeClient;
  readonly #caches: Pick<ResourceCaches, 'managedSecrets' | 'servers'>;
  /** By UID of the MailServer. */
  readonly #open = new Map<string, AcmeAccount>();

  constructor({ client, resources }: { readonly client: KubeClient; readonly resources: ResourceCaches }) {
    this.#client = client;
    this.#caches = resources;
  }

  [Symbol.dispose](): void {
    for (const { client } of this.#open.values()) client[Symbol.dispose]();
    this.#open.clear();
  }

  /** What stands in the way of an account, or the account; whether the authority takes it shows with the first request. */
  async of(server: MailServer, settings: AcmeSettings): Promise<AcmeAccount | Fault> {
    const binding = await this.#binding(server, settings);
    if (binding !== null && 'reason' in binding) return binding;
    const secretName = accountSecretName(server, settings);
    const pem = await this.#keyOf(server, secretName);
    const key = pem === null ? null : readable(pem);
    if (pem === null || key === null) {
      const message = `the Secret ${secretName} is no account’s key that the operator made; move or delete it`;
      return { reason: 'SecretNotOwned', message };
    }
    const fingerprint = digest([settings, pem, binding?.hmacKey.toString('base64')]);
    const known = this.#open.get(server.metadata.uid);
    if (known?.fingerprint === fingerprint) return known;
    known?.client[Symbol.dispose]();
    this.#closeOfDeleted();
    const account = openAccount(settings, { key, binding, fingerprint });
    this.#open.set(server.metadata.uid, account);
    return account;
  }

  #closeOfDeleted(): void {
    for (const [uid, { client }] of this.#open) {
      if (this.#caches.servers.byUid(uid) !== undefined) continue;
      client[Symbol.dispose]();
      this.#open.delete(uid);
    }
  }

  async #binding(server: MailServer, settings: AcmeSettings): Promise<ExternalBinding | Fault | null> {
    const { externalAccountBinding: wanted } = settings;
    if (wanted === undefined) return null;
    const { namespace = '' } = server.metadata;
    const { name } = wanted.secretRef;
    const fault = (why: string): Fault => ({ reason: 'ACMEBindingInvalid', message: `the Secret ${name} ${why}` });
    try {
      const { data } = await this.#client.get(secrets, { namespace, name });
      const text = Buffer.from(data?.['hmacKey'] ?? '', 'base64')
        .toString('utf8')
        .trim();
      if (text === '') return fault('has no hmacKey');
      return { keyId: wanted.keyId, hmacKey: Buffer.from(text, 'base64url') };
    } catch (error) {
      if (isNotFound(error)) return fault('is not there');
      if (isForbidden(error)) return fault('may not be read by the operator');
      throw error;
    }
  }

  /** Null: there is a Secret of somebody else. */
  async #keyOf(server: MailServer, name: string): Promise<string | null> {
    const { apiVersion, kind, namespace = '', name: serverName, uid } = refOf(server);
    const at = { namespace, name };
    const known = this.#caches.managedSecrets.get(namespace, name) ?? (await this.#read(at));
    if (known !== null) return isOurs(known, serverName) ? keyIn(known) : null;
    const pem = newPrivateKey();
    try {
      await this.#client.create(secrets, {
        apiVersion: 'v1',
        kind: 'Secret',
        metadata: {
          ...at,
          labels: { [managedLabel]: 'true' },
          ownerReferences: [{ apiVersion, kind, name: serverName, uid, controller: true, blockOwnerDeletion: false }],
        },
        type: 'Opaque',
        stringData: { 'account.key': pem },
      });
      return pem;
    } catch (error) {
      if (isAlreadyExists(error)) return this.#keyOf(server, name);
      throw error;
    }
  }

  async #read(at: { readonly namespace: string; readonly name: string }): Promise<Secret | null> {
    try {
      return await this.#client.get(secrets, at);
    } catch (error) {
      if (isNotFound(error)) return null;
      throw error;
    }
  }
}

export function accountSecretName({ metadata }: MailServer, settings: AcmeSettings): string {
  return `${metadata.name}-acme-${digest(accountOf(settings)).slice(0, 8)}`;
}

/** What is asked for, in short: of this authority, with this account, for these names. */
export function wishOf(settings: AcmeSettings, hosts: readonly string[]): string {
  return digest([...accountOf(settings), ...hosts]);
}

/** The same with everything that an attempt may fail for. */
export function attemptOf({ fingerprint }: AcmeAccount, hosts: readonly string[]): string {
  return digest([fingerprint, ...hosts]);
}

function accountOf({ directoryUrl, externalAccountBinding }: AcmeSettings): readonly string[] {
  return [directoryUrl, externalAccountBinding?.keyId ?? ''];
}

type Credentials = {
  readonly key: AccountKey;
  readonly binding: ExternalBinding | null;
  readonly fingerprint: string;
};

function openAccount(settings: AcmeSettings, { key, binding, fingerprint }: Credentials): AcmeAccount {
  const { directoryUrl, contacts = [], caBundle = null } = settings;
  const limit = new Pause();
  const away = new Pause();
  return {
    client: new AcmeClient({ directoryUrl, contacts, caBundle, key, binding }),
    thumbprint: key.thumbprint,
    fingerprint,
    assertThere: () => away.assertOver(),
    assertFree: () => limit.assertOver(),
    hear: (error) => {
      if (error instanceof AcmeUnreachable) away.begin(error, awayMs);
      else if (error instanceof AcmeProblem && (error.type === 'rateLimited' || error.step === 'account'))
        limit.begin(error, limitMs);
    },
  };
}

/** For a while the same error is everybody's. It does not begin anew with those who only hear of it. */
class Pause {
  #error: Error | null = null;
  #untilMs = 0;

  begin(error: Error, forMs: number): void {
    if (error === this.#error && performance.now() < this.#untilMs) return;
    this.#error = error;
    this.#untilMs = performance.now() + forMs;
  }

  assertOver(): void {
    if (this.#error !== null && performance.now() < this.#untilMs) throw this.#error;
  }
}

/** Ours, also from before the MailServer was made anew under its name. */
function isOurs({ metadata }: Secret, server: string): boolean {
  return (
    metadata.labels?.[managedLabel] === 'true' &&
    metadata.ownerReferences?.some(({ kind, name }) => kind === 'MailServer' && name === server) === true
  );
}

function keyIn({ data }: Secret): string {
  return Buffer.from(data?.['account.key'] ?? '', 'base64').toString('utf8');
}

function readable(pem: string): AccountKey | null {
  try {
    return readAccountKey(pem);
  } catch {
    // Somebody edited it. It is not written anew: the account would be another one.
    return null;
  }
}

function digest(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex').slice(0, 32);
}

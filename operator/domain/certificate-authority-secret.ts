/**
 * The installation's own authority, in a Secret beside the operator that only the operator reads, and its certificate in
 * Secrets beside those that need it, for clients to trust.
 */
import { X509Certificate } from 'node:crypto';
import type { Clock } from '#shared/base/clock.ts';
import type { CertificateMaterial } from '#shared/directory/certificates.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { secrets, type Secret } from '#operator/kube/core-resources.ts';
import { isAlreadyExists, isNotFound } from '#operator/kube/kube-error.ts';
import { refOf, type KubeObject } from '#operator/kube/resource.ts';
import { managedLabel } from '#operator/foundation/resource-caches.ts';
import { makeAuthority } from './authority.ts';

export type AuthorityOptions = {
  readonly client: KubeClient;
  /** The operator's. */
  readonly namespace: string;
  readonly clock: Clock;
};

export type Authority = {
  readonly material: CertificateMaterial;
  /** What clients are to trust: this one, and the one before as long as it is valid. */
  readonly trusted: string;
};

export const authoritySecretName = 'postrider-ca';
/** Replaced so long before its end that every certificate of the old one has ended by then. */
const renewBeforeMs = 365 * 24 * 3600 * 1000;

/** The Secret with the authority's certificate that is published for an owner. */
export function trustSecretName({ kind, metadata }: KubeObject): string {
  return `${metadata.name}-${kind === 'MailServer' ? 'server' : 'mail'}-ca`;
}

/**
 * Reads the authority, or makes one where there is none or it ends within a year. `taken`: the Secret is somebody
 * else's, and left as it is.
 */
export async function openAuthority({ client, namespace, clock }: AuthorityOptions): Promise<Authority | 'taken'> {
  const at = { namespace, name: authoritySecretName };
  const known = await client.get(secrets, at).catch(ignoreMissing);
  if (known && known.metadata.labels?.[managedLabel] !== 'true') return 'taken';
  const read = known === null ? null : readAuthority(known);
  if (read && !endsSoon(read.material, clock.now())) return read;
  const material = await makeAuthority('Postrider', clock.now());
  const before = read ? valid(read.trusted, clock.now()) : '';
  const stringData = {
    'tls.crt': material.certificate,
    'tls.key': material.privateKey,
    'ca.crt': `${material.certificate}${before}`,
  };
  const metadata = { ...at, labels: { [managedLabel]: 'true' } };
  const body = { apiVersion: 'v1', kind: 'Secret', metadata, type: 'kubernetes.io/tls', stringData } as const;
  try {
    if (known === null) await client.create(secrets, body);
    else await client.patchMerge(secrets, at, { stringData }, { resourceVersion: known.metadata.resourceVersion });
  } catch (error) {
    if (isAlreadyExists(error)) return openAuthority({ client, namespace, clock });
    throw error;
  }
  return { material, trusted: stringData['ca.crt'] };
}

/**
 * Publishes what clients are to trust, where it is not so already. `known`: what the cache has. False: somebody else has
 * a Secret of that name, which is left as it is.
 */
export async function publishTrust(
  client: KubeClient,
  owner: KubeObject,
  known: Secret | undefined,
  trusted: string,
): Promise<boolean> {
  const encoded = Buffer.from(trusted).toString('base64');
  const { apiVersion, kind, namespace = '', name, uid } = refOf(owner);
  const at = { namespace, name: trustSecretName(owner) };
  const there = known ?? (await client.get(secrets, at).catch(ignoreMissing));
  if (there && !isPublished(there, { kind, name })) return false;
  if (there?.data?.['ca.crt'] === encoded) return true;
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      ...at,
      labels: { [managedLabel]: 'true' },
      ownerReferences: [{ apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: false }],
    },
    type: 'Opaque',
    data: { 'ca.crt': encoded },
  } as const;
  // Not applied where there is none: that would take over one that somebody makes just now.
  await (there ? client.apply(secrets, secret) : client.create(secrets, secret));
  return true;
}

/** Ours, also from before the resource was made anew under its name. */
function isPublished({ metadata }: Secret, owner: { readonly kind: string; readonly name: string }): boolean {
  return (
    metadata.labels?.[managedLabel] === 'true' &&
    metadata.ownerReferences?.some(({ kind, name }) => kind === owner.kind && name === owner.name) === true
  );
}

function ignoreMissing(error: unknown): null {
  if (isNotFound(error)) return null;
  throw error;
}

/** Null: it is not one; a new one takes its place. */
function readAuthority({ data }: Secret): Authority | null {
  const text = (key: string): string => Buffer.from(data?.[key] ?? '', 'base64').toString('utf8');
  const material = { certificate: text('tls.crt'), privateKey: text('tls.key') };
  try {
    return new X509Certificate(material.certificate).ca && material.privateKey !== ''
      ? { material, trusted: text('ca.crt') || material.certificate }
      : null;
  } catch {
    return null;
  }
}

function endsSoon({ certificate }: CertificateMaterial, now: Date): boolean {
  return new X509Certificate(certificate).validToDate.getTime() - now.getTime() < renewBeforeMs;
}

/** Of several certificates in PEM those that have not ended. */
function valid(chain: string, now: Date): string {
  const blocks = chain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/g) ?? [];
  return blocks.filter((block) => new X509Certificate(block).validToDate > now).join('');
}

/** The Secret that shows what was had by ACME. The database's row counts; the Secret follows it, and stands in for one that was lost. */
import type { CertificateMaterial } from '#shared/directory/certificates.ts';
import { managedLabel } from '#operator/foundation/resource-caches.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { secrets, type Secret } from '#operator/kube/core-resources.ts';
import { isNotFound } from '#operator/kube/kube-error.ts';
import { refOf, type KubeObject } from '#operator/kube/resource.ts';

/** What the certificate was asked for by, as wishOf has it. */
const wishAnnotation = 'postrider.dev/acme-wish';

export function acmeSecretName({ kind, metadata }: KubeObject): string {
  return `${metadata.name}-${kind === 'MailServer' ? 'server' : 'mail'}-acme`;
}

/** Null: it is not of this owner's making. */
export function readAcmeSecret(
  secret: Secret | undefined,
  owner: KubeObject,
): { readonly material: CertificateMaterial; readonly wish: string } | null {
  const wish = secret?.metadata.annotations?.[wishAnnotation];
  if (secret === undefined || wish === undefined || !isOurs(secret, owner)) return null;
  const text = (key: string): string => Buffer.from(secret.data?.[key] ?? '', 'base64').toString('utf8');
  return { material: { certificate: text('tls.crt'), privateKey: text('tls.key') }, wish };
}

/** `known`: what the cache has. False: somebody else has a Secret of that name, which is left as it is. */
export async function publishCertificate(
  client: KubeClient,
  owner: KubeObject,
  known: Secret | undefined,
  { material, wish }: { readonly material: CertificateMaterial; readonly wish: string },
): Promise<boolean> {
  const { apiVersion, kind, namespace = '', name, uid } = refOf(owner);
  const at = { namespace, name: acmeSecretName(owner) };
  const there = known ?? (await client.get(secrets, at).catch(ignoreMissing));
  if (there && !isOurs(there, owner)) return false;
  const published = there ? readAcmeSecret(there, owner) : null;
  const isSame =
    published?.wish === wish &&
    published.material.certificate === material.certificate &&
    published.material.privateKey === material.privateKey;
  if (isSame) return true;
  const secret = {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {
      ...at,
      labels: { [managedLabel]: 'true' },
      annotations: { [wishAnnotation]: wish },
      ownerReferences: [{ apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: false }],
    },
    type: 'kubernetes.io/tls',
    data: {
      'tls.crt': Buffer.from(material.certificate).toString('base64'),
      'tls.key': Buffer.from(material.privateKey).toString('base64'),
    },
  } as const;
  // Not applied where there is none: that would take over one that somebody makes just now.
  await (there ? client.apply(secrets, secret) : client.create(secrets, secret));
  return true;
}

/** Ours, also from before the resource was made anew under its name. */
function isOurs({ metadata }: Secret, owner: KubeObject): boolean {
  return (
    metadata.labels?.[managedLabel] === 'true' &&
    metadata.ownerReferences?.some(({ kind, name }) => kind === owner.kind && name === owner.metadata.name) === true
  );
}

function ignoreMissing(error: unknown): null {
  if (isNotFound(error)) return null;
  throw error;
}

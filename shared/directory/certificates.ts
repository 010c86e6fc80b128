/** Certificates in the database: put there by the operator, shown by servers. */
import { sql, type Kysely } from 'kysely';
import type { CertificateSource } from '#shared/db/domain-tables.ts';
import type { Database } from '#shared/db/schema.ts';
import type { Keyring, Sealed } from './keyring.ts';

/** Heard when a certificate was put there, changed or removed; no payload. */
export const certificateChannel = 'postrider_certificate';

/** PEM: the certificate with its chain, and its private key. */
export type CertificateMaterial = { readonly certificate: string; readonly privateKey: string };

export type StoredCertificate = {
  /** Kind and UID of the resource that it is for. */
  readonly owner: string;
  /** namespace/name, for people. */
  readonly resourceName: string;
  readonly source: CertificateSource;
  /** Canonical; one may begin with "*.". At least one. */
  readonly names: readonly string[];
  /** For clients that ask for no name, or for one that no certificate has. */
  readonly isDefault: boolean;
  readonly notAfter: Date;
  readonly material: CertificateMaterial;
};

/** False: the row was so already, and nothing was written. */
export async function putCertificate(
  tx: Kysely<Database>,
  keyring: Keyring,
  wanted: StoredCertificate,
): Promise<boolean> {
  const known = await tx
    .selectFrom('certificate')
    .selectAll()
    .where('owner', '=', wanted.owner)
    .forUpdate()
    .executeTakeFirst();
  const columns = {
    resource_name: wanted.resourceName,
    source: wanted.source,
    names: [...wanted.names],
    is_default: wanted.isDefault,
    not_after: wanted.notAfter,
  };
  if (known !== undefined) {
    const isSame =
      known.resource_name === columns.resource_name &&
      known.source === columns.source &&
      known.is_default === columns.is_default &&
      known.names.join() === columns.names.join() &&
      known.seal_key_id === keyring.activeId &&
      isSameMaterial(keyring, wanted, { keyId: known.seal_key_id, bytes: known.material });
    if (isSame) return false;
  }
  const sealed = keyring.seal(Buffer.from(JSON.stringify(wanted.material)), sealContext(wanted.owner));
  const values = { ...columns, material: sealed.bytes, seal_key_id: sealed.keyId };
  await tx
    .insertInto('certificate')
    .values({ owner: wanted.owner, ...values })
    .onConflict((conflict) =>
      conflict.column('owner').doUpdateSet({
        ...values,
        version: sql<number>`certificate.version + 1`,
        updated_at: sql<Date>`now()`,
      }),
    )
    .execute();
  return true;
}

/** False: there was none. */
export async function removeCertificate(tx: Kysely<Database>, owner: string): Promise<boolean> {
  const gone = await tx.deleteFrom('certificate').where('owner', '=', owner).returning('id').executeTakeFirst();
  return gone !== undefined;
}

/** Throws where the keyring does not open it. */
export function openCertificate(keyring: Keyring, owner: string, sealed: Sealed): CertificateMaterial {
  const { certificate, privateKey } = JSON.parse(
    keyring.open(sealed, sealContext(owner)).toString('utf8'),
  ) as CertificateMaterial;
  return { certificate, privateKey };
}

function isSameMaterial(keyring: Keyring, { owner, material }: StoredCertificate, sealed: Sealed): boolean {
  try {
    const stored = openCertificate(keyring, owner, sealed);
    return stored.certificate === material.certificate && stored.privateKey === material.privateKey;
  } catch {
    // Whoever wrote it, it is to be written anew.
    return false;
  }
}

/** Binds what is sealed to its row. */
function sealContext(owner: string): string {
  return `certificate ${owner}`;
}

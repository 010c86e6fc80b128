/** Passwords of MailCredentials: one is the present one, those before it work until their time is over. */
import { randomUUID } from 'node:crypto';
import { sql, type Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';
import type { Verifiers } from './credentials.ts';
import type { Keyring } from './keyring.ts';
import { parseScramVerifier } from './scram.ts';
import type { ScramMechanism, ScramVerifier } from './scram.ts';

/** What a password's tag is bound to. */
type TaggedPassword = { readonly id: string; readonly sealKeyId: string };

/** A keyed hash, by which the present password is known again. Throws where the keyring lacks the key. */
export function mailCredentialTag({ id, sealKeyId }: TaggedPassword, keyring: Keyring, secret: string): Buffer {
  return keyring.tag(sealKeyId, secret, `secret of mail credential password ${id}`);
}

/** Binds a sealed verifier to its row and column. */
function sealContext(id: string, mechanism: ScramMechanism): string {
  return `mail credential password ${id} ${mechanism}`;
}

type SealedPassword = { readonly id: string; readonly seal_key_id: string; readonly sealed: Buffer };

/** Throws where the keyring doesn't open it. */
export function openMailCredentialVerifier(
  { id, seal_key_id: keyId, sealed: bytes }: SealedPassword,
  keyring: Keyring,
  mechanism: ScramMechanism,
): ScramVerifier {
  return parseScramVerifier(keyring.open({ keyId, bytes }, sealContext(id, mechanism)).toString());
}

/** Salts of the present password, which a new one is to have as well; null: there is none. */
export type MailCredentialSalts = { readonly sha256: Buffer; readonly sha1: Buffer };

export async function readMailCredentialSalts(
  db: Kysely<Database>,
  keyring: Keyring,
  resourceUids: readonly string[],
): Promise<ReadonlyMap<string, MailCredentialSalts>> {
  if (resourceUids.length === 0) return new Map();
  const rows = await db
    .selectFrom('mail_credential_password as password')
    .innerJoin('mail_credential as credential', 'credential.id', 'password.credential_id')
    .select(['credential.resource_uid', 'password.id', 'password.seal_key_id', 'scram_sha256', 'scram_sha1'])
    .where('credential.resource_uid', 'in', resourceUids)
    .where('password.expires_at', 'is', null)
    .execute();
  return new Map(
    rows.map(({ resource_uid, scram_sha256, scram_sha1, ...row }) => [
      resource_uid,
      {
        sha256: openMailCredentialVerifier({ ...row, sealed: scram_sha256 }, keyring, 'SCRAM-SHA-256').salt,
        sha1: openMailCredentialVerifier({ ...row, sealed: scram_sha1 }, keyring, 'SCRAM-SHA-1').salt,
      },
    ]),
  );
}

/**
 * Makes this the present password; the one before works for `overlap_seconds` more, older ones end as they were to.
 * Must run in a transaction.
 */
export async function setMailCredentialPassword(
  tx: Kysely<Database>,
  keyring: Keyring,
  resourceUid: string,
  { verifiers, secret }: { readonly verifiers: Verifiers; readonly secret: string },
): Promise<void> {
  const credential = await tx
    .selectFrom('mail_credential')
    .select(['id', 'overlap_seconds'])
    .where('resource_uid', '=', resourceUid)
    .forUpdate()
    .executeTakeFirstOrThrow();
  await tx
    .updateTable('mail_credential_password')
    .set({
      expires_at: sql<Date>`now() + make_interval(secs => ${String(credential.overlap_seconds)}::double precision)`,
    })
    .where('credential_id', '=', credential.id)
    .where('expires_at', 'is', null)
    .execute();
  const id = randomUUID();
  const sha256 = keyring.seal(Buffer.from(verifiers.scramSha256), sealContext(id, 'SCRAM-SHA-256'));
  const sha1 = keyring.seal(Buffer.from(verifiers.scramSha1), sealContext(id, 'SCRAM-SHA-1'));
  await tx
    .insertInto('mail_credential_password')
    .values({
      credential_id: credential.id,
      id,
      password_hash: verifiers.passwordHash,
      scram_sha256: sha256.bytes,
      scram_sha1: sha1.bytes,
      seal_key_id: sha256.keyId,
      secret_tag: mailCredentialTag({ id, sealKeyId: sha256.keyId }, keyring, secret),
    })
    .execute();
}

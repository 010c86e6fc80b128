/** Logins of MailCredentials in Postgres: one query each. */
import { sql, type Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';
import type { Keyring } from '#shared/directory/keyring.ts';
import type { SubmissionLogin, SubmissionScram } from '#shared/directory/logins.ts';
import { openMailCredentialVerifier } from '#shared/directory/mail-credentials.ts';
import type { ScramMechanism } from '#shared/directory/scram.ts';
import { formatAddress, type MailAddress } from '#shared/text/address.ts';
import { directoryFault } from './directory-fault.ts';

/** Passwords of one login that are looked at: the present one and those that it has just replaced. */
const maxPasswords = 5;

type PasswordRow = {
  readonly credential_id: bigint;
  readonly username: string;
  readonly id: string;
  readonly password_hash: string;
  readonly seal_key_id: string;
  readonly scram_sha256: Buffer;
  readonly scram_sha1: Buffer;
};

/** The present one first. */
function passwordRows(username: string) {
  return sql<PasswordRow>`/*submission-login*/
    select credential.id as credential_id, credential.username, password.id, password.password_hash,
        password.seal_key_id, password.scram_sha256, password.scram_sha1
      from mail_credential credential
      join mail_credential_password password on password.credential_id = credential.id
      where credential.username = ${username.toLowerCase()}
        and (password.expires_at is null or password.expires_at > now())
      order by password.expires_at desc nulls first
      limit ${maxPasswords}::int`;
}

export async function findSubmissionLogin(db: Kysely<Database>, username: string): Promise<SubmissionLogin | null> {
  const { rows } = await passwordRows(username).execute(db);
  const [first] = rows;
  if (!first) return null;
  // A password of a submission login never changes: another is another row.
  const passwords = rows.map(({ id, password_hash: passwordHash }) => ({ id, version: 1n, passwordHash }));
  return { credentialId: first.credential_id, username: first.username, passwords };
}

export async function findSubmissionScram(
  db: Kysely<Database>,
  keyring: Keyring,
  username: string,
  mechanism: ScramMechanism,
): Promise<SubmissionScram | null> {
  const { rows } = await passwordRows(username).execute(db);
  const [first] = rows;
  if (!first) return null;
  const passwords = rows.map(({ id, seal_key_id, scram_sha256, scram_sha1 }) => {
    const sealed = mechanism === 'SCRAM-SHA-256' ? scram_sha256 : scram_sha1;
    return { id, verifier: openMailCredentialVerifier({ id, seal_key_id, sealed }, keyring, mechanism) };
  });
  return { credentialId: first.credential_id, username: first.username, passwords };
}

export async function noteSubmissionUse(db: Kysely<Database>, ids: readonly string[], at: Date): Promise<void> {
  await sql`update mail_credential_password set last_used_at = ${at} where id = any (${[...ids]}::uuid[])`.execute(db);
}

/** Null: whether it may send at all. */
export async function credentialMaySendAs(
  db: Kysely<Database>,
  credentialId: bigint,
  address: MailAddress | null,
): Promise<boolean> {
  const exact = address && formatAddress(address);
  const any = address && formatAddress({ localPart: '*', domain: address.domain });
  try {
    const { rows } = await sql`/*submission-sender*/
      select from mail_credential credential
        where credential.id = ${credentialId} and cardinality(credential.allowed_senders) > 0
          and (${exact}::text is null
            or credential.allowed_senders && array[${exact}, ${any}]::text[] and exists (
              select from domain_name
                join domain on domain.id = domain_name.domain_id and domain.retained_at is null and not domain.suspended
                where domain_name.name = ${address?.domain ?? null}::text))`.execute(db);
    return rows.length > 0;
  } catch (error) {
    throw directoryFault(error);
  }
}

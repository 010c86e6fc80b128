import { randomUUID } from 'node:crypto';
import { sql, type Kysely } from 'kysely';
import type { AccountId } from '#shared/base/ids.ts';
import { ProgramFault } from '#shared/base/program-fault.ts';
import type { Database } from '#shared/db/schema.ts';
import { openKeyring } from './keyring.ts';
import type { Keyring } from './keyring.ts';
import { hashPassword } from './password.ts';
import type { PasswordOrigin } from './password.ts';
import { formatScramVerifier, makeScramVerifier, matchesScramVerifier, parseScramVerifier } from './scram.ts';
import type { ScramMechanism, ScramVerifier } from './scram.ts';

/** All that is kept of a password. They are made together: from one of them no other can be made later. */
export type Verifiers = {
  readonly passwordHash: string;
  readonly scramSha256: string;
  readonly scramSha1: string;
};

/**
 * A tenth of a second of work for a password that a person chose, off the event loop; a few milliseconds for one that
 * was generated. `salts`: those of the other passwords of the same login, where it has several.
 */
export async function deriveVerifiers(
  prepared: string,
  origin: PasswordOrigin = 'chosen',
  salts?: { readonly sha256: Buffer; readonly sha1: Buffer },
): Promise<Verifiers> {
  const [passwordHash, scramSha256, scramSha1] = await Promise.all([
    hashPassword(prepared, origin),
    makeScramVerifier('SCRAM-SHA-256', prepared, origin, salts?.sha256),
    makeScramVerifier('SCRAM-SHA-1', prepared, origin, salts?.sha1),
  ]);
  return {
    passwordHash,
    scramSha256: formatScramVerifier(scramSha256),
    scramSha1: formatScramVerifier(scramSha1),
  };
}

/** A password that an account gets. */
export type NewPassword = {
  readonly verifiers: Verifiers;
  readonly managedBy: 'reconciler' | 'user';
  /** The prepared password, where it comes from a Secret: it is known again then without deriving anything. */
  readonly secret: string | null;
};

/** Makes this the account's primary password, as `setPrimaryPasswords`. */
export function setPrimaryPassword(
  tx: Kysely<Database>,
  keyring: Keyring,
  accountId: AccountId,
  password: NewPassword,
): Promise<void> {
  return setPrimaryPasswords(tx, keyring, new Map([[accountId, password]]));
}

/**
 * Makes each the primary password of its account, some hundreds at a time. Must run in a transaction. The versions
 * rise, so that whatever was derived from the older passwords is void.
 */
export async function setPrimaryPasswords(
  tx: Kysely<Database>,
  keyring: Keyring,
  passwords: ReadonlyMap<AccountId, NewPassword>,
): Promise<void> {
  if (passwords.size === 0) return;
  const known = await tx
    .selectFrom('credential')
    .select(['account_id', 'id', 'version'])
    .where('account_id', 'in', [...passwords.keys()])
    .where('kind', '=', 'primary')
    .orderBy('account_id')
    .forUpdate()
    .execute();
  const rows = new Map(known.map((row) => [row.account_id, row]));
  const values = [...passwords].map(([accountId, password]) =>
    credentialValues(keyring, accountId, rows.get(accountId) ?? null, password),
  );
  await tx
    .insertInto('credential')
    .values(values)
    .onConflict((conflict) =>
      conflict.columns(['account_id', 'id']).doUpdateSet((eb) => ({
        version: eb.ref('excluded.version'),
        password_hash: eb.ref('excluded.password_hash'),
        scram_sha256: eb.ref('excluded.scram_sha256'),
        scram_sha1: eb.ref('excluded.scram_sha1'),
        seal_key_id: eb.ref('excluded.seal_key_id'),
        managed_by: eb.ref('excluded.managed_by'),
        secret_tag: eb.ref('excluded.secret_tag'),
      })),
    )
    .execute();
}

function credentialValues(
  keyring: Keyring,
  accountId: AccountId,
  known: { readonly id: string; readonly version: bigint } | null,
  { verifiers, managedBy, secret }: NewPassword,
) {
  const id = known?.id ?? randomUUID();
  const version = (known?.version ?? 0n) + 1n;
  const scramSha256 = keyring.seal(Buffer.from(verifiers.scramSha256), sealContext(accountId, id, 'SCRAM-SHA-256'));
  const scramSha1 = keyring.seal(Buffer.from(verifiers.scramSha1), sealContext(accountId, id, 'SCRAM-SHA-1'));
  const key = { account_id: accountId, id, version, seal_key_id: scramSha256.keyId };
  return {
    ...key,
    kind: 'primary' as const,
    password_hash: verifiers.passwordHash,
    scram_sha256: scramSha256.bytes,
    scram_sha1: scramSha1.bytes,
    managed_by: managedBy,
    secret_tag: secret === null ? null : secretTag(key, keyring, secret),
  };
}

/** What a Secret's tag is bound to. */
export type TaggedCredential = {
  readonly account_id: AccountId;
  readonly id: string;
  readonly version: bigint;
  readonly seal_key_id: string;
};

/** See the column `secret_tag`. Throws where the keyring lacks the key. */
export function secretTag(
  { account_id, id, version, seal_key_id }: TaggedCredential,
  keyring: Keyring,
  secret: string,
) {
  return keyring.tag(seal_key_id, secret, `secret of credential ${account_id}/${id} version ${version}`);
}

/** Tags credentials whose password was found to be that of a Secret, so that the next look is quick. */
export async function noteSecrets(
  db: Kysely<Database>,
  found: readonly { readonly credential: TaggedCredential; readonly tag: Buffer }[],
): Promise<void> {
  if (found.length === 0) return;
  const accountIds = found.map(({ credential }) => String(credential.account_id));
  const ids = found.map(({ credential }) => credential.id);
  const versions = found.map(({ credential }) => String(credential.version));
  const tags = found.map(({ tag }) => tag);
  await sql`update credential set secret_tag = found.tag
    from unnest(${accountIds}::bigint[], ${ids}::uuid[], ${versions}::bigint[], ${tags}::bytea[])
      as found (account_id, id, version, tag)
    where credential.account_id = found.account_id and credential.id = found.id
      and credential.version = found.version`.execute(db);
}

export type SealedCredential = {
  readonly account_id: AccountId;
  readonly id: string;
  readonly scram_sha256: Buffer;
  readonly seal_key_id: string;
};

/**
 * Whether the credential is of this password. Throws where the keyring doesn't open it: it is another database's
 * keyring, or the row was tampered with.
 */
export async function isPasswordOf(row: SealedCredential, keyring: Keyring, prepared: string): Promise<boolean> {
  return matchesScramVerifier(prepared, parseScramVerifier(openVerifier(row, keyring).toString()));
}

/**
 * The keyring that belongs to this database, from a file. `mayCreate`: a database in which nothing is sealed gets a
 * new one where the file is missing. ProgramFault 78: there is none, or it doesn't open what the database holds.
 */
export async function openKeyringOf(db: Kysely<Database>, file: string, mayCreate: boolean): Promise<Keyring> {
  const keyring = await openKeyring(file, mayCreate && !(await isAnythingSealed(db)) ? 'create' : 'refuse');
  await assertKeyringOf(db, keyring, file);
  return keyring;
}

/** Whether a keyring was in use with this database before: a new one would open nothing of it. */
export async function isAnythingSealed(db: Kysely<Database>): Promise<boolean> {
  const { rows } = await sql<{ is_any: boolean }>`select exists (select from credential)
    or exists (select from dkim_key) or exists (select from mail_route) as is_any`.execute(db);
  return rows[0]?.is_any === true;
}

/** ProgramFault 78: it doesn't open what the database holds. `where` names the keyring. */
export async function assertKeyringOf(db: Kysely<Database>, keyring: Keyring, where: string): Promise<void> {
  for (const sample of await sealedSamples(db)) {
    try {
      openVerifier(sample, keyring);
    } catch (cause) {
      throw wrongKeyring(sample.seal_key_id, where, cause);
    }
  }
}

function wrongKeyring(keyId: string, where: string, cause: unknown): ProgramFault {
  return new ProgramFault(
    78,
    `the keyring ${where} does not open what the database holds (key ${keyId})`,
    'Put back the keyring that was made together with this database; servers of one database have one keyring.',
    { cause },
  );
}

/** One credential for each key that sealed any. */
async function sealedSamples(db: Kysely<Database>): Promise<readonly SealedCredential[]> {
  return db
    .selectFrom('credential')
    .distinctOn('seal_key_id')
    .select(['account_id', 'id', 'scram_sha256', 'seal_key_id'])
    .orderBy('seal_key_id')
    .execute();
}

/** Throws where the keyring doesn't open it. */
export function openScramVerifier(
  row: Omit<SealedCredential, 'scram_sha256'> & { readonly sealed: Buffer },
  keyring: Keyring,
  mechanism: ScramMechanism,
): ScramVerifier {
  const context = sealContext(row.account_id, row.id, mechanism);
  return parseScramVerifier(keyring.open({ keyId: row.seal_key_id, bytes: row.sealed }, context).toString());
}

function openVerifier(row: SealedCredential, keyring: Keyring): Buffer {
  const sealed = { keyId: row.seal_key_id, bytes: row.scram_sha256 };
  return keyring.open(sealed, sealContext(row.account_id, row.id, 'SCRAM-SHA-256'));
}

/** Binds a sealed verifier to its row and column. */
function sealContext(accountId: AccountId, credentialId: string, mechanism: string): string {
  return `credential ${accountId}/${credentialId} ${mechanism}`;
}

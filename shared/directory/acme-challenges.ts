/** What servers answer to an ACME authority that asks on port 80 (RFC 8555 section 8.3). */
import { sql, type Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';

export type AcmeChallenge = {
  readonly token: string;
  /** RFC 8555 section 8.1. */
  readonly keyAuthorization: string;
};

/** Long enough for an authority that is slow; it is put off as long as the order goes on. */
const lifetime = sql<Date>`now() + interval '1 hour'`;

/** The owner's challenges are these from now on, for an hour; others of it are not answered any more. */
export async function putChallenges(
  tx: Kysely<Database>,
  owner: string,
  challenges: readonly AcmeChallenge[],
): Promise<void> {
  const tokens = challenges.map(({ token }) => token);
  await tx
    .deleteFrom('acme_challenge')
    .where('owner', '=', owner)
    .where('token', '<>', sql<string>`all(${tokens}::text[])`)
    .execute();
  if (challenges.length === 0) return;
  await tx
    .insertInto('acme_challenge')
    .values(
      challenges.map(({ token, keyAuthorization }) => ({
        token,
        owner,
        key_authorization: keyAuthorization,
        expires_at: lifetime,
      })),
    )
    .onConflict((conflict) =>
      conflict.column('token').doUpdateSet({
        owner,
        key_authorization: sql<string>`excluded.key_authorization`,
        expires_at: lifetime,
      }),
    )
    .execute();
}

/** Null: there is no such token, or not any more. */
export async function findKeyAuthorization(db: Kysely<Database>, token: string): Promise<string | null> {
  const row = await db
    .selectFrom('acme_challenge')
    .select('key_authorization')
    .where('token', '=', token)
    .where('expires_at', '>', sql<Date>`now()`)
    .executeTakeFirst();
  return row?.key_authorization ?? null;
}

export async function removeExpiredChallenges(tx: Kysely<Database>): Promise<void> {
  await tx
    .deleteFrom('acme_challenge')
    .where('expires_at', '<=', sql<Date>`now()`)
    .execute();
}

/** Thousands of accounts at once, straight into the directory: making each by a manifest would cost a hash a password. */
import { sql } from 'kysely';
import { createDatabase } from '#shared/db/client.ts';
import { domain } from './mail-server.ts';

export function manyAddresses(count: number, prefix = 'many'): readonly string[] {
  return Array.from({ length: count }, (_, n) => `${prefix}${n}@${domain}`);
}

/** They log in with the password of every other user here, whose hash they share; SCRAM they can't. */
export async function makeManyAccounts(databaseUrl: string, count: number, prefix = 'many'): Promise<void> {
  await using database = createDatabase({ url: databaseUrl, maxConnections: 1 });
  await database.db.transaction().execute(async (tx) => {
    const { id: domainId } = await tx
      .selectFrom('domain')
      .select('id')
      .where('name', '=', domain)
      .executeTakeFirstOrThrow();
    const accounts = await tx
      .insertInto('account')
      .values(
        Array.from({ length: count }, (_, n) => ({
          domain_id: domainId,
          local_part: `${prefix}${n}`,
          managed_by: 'nobody' as const,
        })),
      )
      .returning(['id', 'local_part'])
      .execute();
    await tx
      .insertInto('address')
      .values(accounts.map(({ id, local_part }) => ({ domain_id: domainId, local_part, account_id: id })))
      .execute();
    const known = await tx
      .selectFrom('credential')
      .select(['password_hash', 'scram_sha256', 'scram_sha1', 'seal_key_id'])
      .where('kind', '=', 'primary')
      .limit(1)
      .executeTakeFirstOrThrow();
    await tx
      .insertInto('credential')
      .values(
        accounts.map(({ id }) => ({
          ...known,
          account_id: id,
          id: sql<string>`gen_random_uuid()`,
          kind: 'primary' as const,
          managed_by: 'user' as const,
        })),
      )
      .execute();
  });
}

import { sql, type Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';
import type { StsPolicyStore } from '#server/mail/outbound-routes.ts';

/** RFC 8461 section 3.2: a policy is no longer kept than a year, as `mailauth` reads it. */
export function createPgStsPolicies(db: Kysely<Database>): StsPolicyStore {
  return {
    get: async (domain) => {
      const row = await db
        .selectFrom('sts_policy')
        .selectAll()
        .where('domain', '=', domain)
        .where('expires_at', '>', new Date())
        .executeTakeFirst();
      if (!row) return null;
      return {
        id: row.policy_id,
        mode: row.mode,
        mx: row.mx,
        maxAgeSeconds: row.max_age_seconds,
        expiresAt: row.expires_at,
        checkedAt: row.checked_at,
      };
    },
    put: async (domain, policy) => {
      const values = {
        policy_id: policy.id,
        mode: policy.mode,
        mx: policy.mx,
        max_age_seconds: policy.maxAgeSeconds,
        expires_at: policy.expiresAt,
        checked_at: policy.checkedAt,
      };
      await db
        .insertInto('sts_policy')
        .values({ domain, ...values })
        .onConflict((conflict) => conflict.column('domain').doUpdateSet(values))
        .execute();
    },
  };
}

/** Policies whose max_age is over; resolves with their number. */
export async function pruneStsPolicies(db: Kysely<Database>): Promise<number> {
  const { numDeletedRows } = await db
    .deleteFrom('sts_policy')
    .where('expires_at', '<=', sql<Date>`now()`)
    .executeTakeFirst();
  return Number(numDeletedRows);
}

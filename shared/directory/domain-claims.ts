/**
 * Whose a domain is. Who may make resources in some namespace may not thereby take the mail of a well-known domain: a
 * namespace shows that it has a domain by a record in the domain's zone, and that it did is kept in the database.
 */
import { createHmac } from 'node:crypto';
import type { Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';

/** Heard when a claim was proved or given up; no payload. */
export const claimChannel = 'postrider_claim';

export type DomainClaim = {
  readonly namespace: string;
  /** Canonical. */
  readonly domain: string;
};

/** In sets of claims. Neither part has a slash. */
export function claimKey({ namespace, domain }: DomainClaim): string {
  return `${namespace}/${domain}`;
}

/** Where the token is to be found. No final dot. */
export function challengeName(domain: string): string {
  return `_postrider-challenge.${domain}`;
}

/**
 * The token that `namespace` has to publish. It is no secret, since it says nothing for another namespace; the same as
 * long as the MailServer (`serverUid`) is, so a record can stay where it is.
 */
export function challengeToken(serverUid: string, { namespace, domain }: DomainClaim): string {
  const digest = createHmac('sha256', serverUid).update(claimKey({ namespace, domain })).digest();
  return `postrider-challenge=${digest.subarray(0, 20).toString('hex')}`;
}

/** Keys of all claims that were proved. */
export async function readClaims(db: Kysely<Database>): Promise<ReadonlySet<string>> {
  const rows = await db.selectFrom('domain_claim').select(['namespace', 'domain']).execute();
  return new Set(rows.map(claimKey));
}

/**
 * Notes that the zone has the namespace's token. False: it was known already. `outdated`: namespaces whose token the
 * zone has no more, though it once had; the domain has changed hands, and they lose it.
 */
export async function proveClaim(
  tx: Kysely<Database>,
  claim: DomainClaim,
  outdated: readonly string[],
): Promise<boolean> {
  if (outdated.length > 0) {
    await tx.deleteFrom('domain_claim').where('domain', '=', claim.domain).where('namespace', 'in', outdated).execute();
  }
  const made = await tx
    .insertInto('domain_claim')
    .values({ namespace: claim.namespace, domain: claim.domain })
    .onConflict((conflict) => conflict.doNothing())
    .returning('namespace')
    .executeTakeFirst();
  return made !== undefined;
}

/** Whether a list of domains takes in a name: as it is, or below `*.example.org`. */
export function isListedDomain(listed: readonly string[], name: string): boolean {
  return listed.some((each) => (each.startsWith('*.') ? name.endsWith(each.slice(1)) : each === name));
}

/**
 * Whose a domain is. Who may make resources in some namespace may not thereby take the mail of a well-known domain: a
 * namespace shows that it has a domain by a record in the domain's zone, and that it did is kept in the database.
 */
import { createHmac } from 'node:crypto';
import { sql, type Kysely } from 'kysely';
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

/** When each claim was proved, by its key. */
export type Claims = ReadonlyMap<string, Date>;

export async function readClaims(db: Kysely<Database>): Promise<Claims> {
  const rows = await db.selectFrom('domain_claim').select(['namespace', 'domain', 'proved_at']).execute();
  return new Map(rows.map((row) => [claimKey(row), row.proved_at]));
}

/** Notes that the zone has the namespace's token. False: it was known already. */
export async function proveClaim(tx: Kysely<Database>, { namespace, domain }: DomainClaim): Promise<boolean> {
  const made = await tx
    .insertInto('domain_claim')
    .values({ namespace, domain })
    .onConflict((conflict) => conflict.doNothing())
    .returning('namespace')
    .executeTakeFirst();
  return made !== undefined;
}

export type ContestedDomain = {
  readonly domain: string;
  /** Namespaces whose token the zone has at the moment. */
  readonly present: readonly string[];
  /** Those whose token it has not. */
  readonly absent: readonly string[];
  /** How long a token may be missing before its claim is lost. */
  readonly graceSeconds: number;
};

/**
 * What a look at the zone of a domain says that several namespaces have proved. Resolves with those that have lost it:
 * their token has been missing for all of the grace period, while another's is there.
 */
export async function noteContest(tx: Kysely<Database>, contest: ContestedDomain): Promise<readonly string[]> {
  const { domain, present, absent, graceSeconds } = contest;
  if (present.length === 0) return [];
  const claims = tx.updateTable('domain_claim').where('domain', '=', domain);
  await claims
    .set({ missing_since: null })
    .where('namespace', '=', anyOf(present))
    .where('missing_since', 'is not', null)
    .execute();
  await claims
    .set({ missing_since: sql<Date>`now()` })
    .where('namespace', '=', anyOf(absent))
    .where('missing_since', 'is', null)
    .execute();
  const lost = await tx
    .deleteFrom('domain_claim')
    .where('domain', '=', domain)
    .where('namespace', '=', anyOf(absent))
    .where('missing_since', '<=', sql<Date>`now() - make_interval(secs => ${graceSeconds}::double precision)`)
    .returning('namespace')
    .execute();
  return lost.map(({ namespace }) => namespace);
}

function anyOf(texts: readonly string[]) {
  return sql<string>`any(${[...texts]}::text[])`;
}

/** Whether a list of domains takes in a name: as it is, or below `*.example.org`. */
export function isListedDomain(listed: readonly string[], name: string): boolean {
  return listed.some((each) => (each.startsWith('*.') ? name.endsWith(each.slice(1)) : each === name));
}

/** What the database knows of a domain that its DNS depends on. */
import { sql, type Kysely } from 'kysely';
import type { DkimAlgorithm, DkimKeyState } from '#shared/db/sending-tables.ts';
import type { Database } from '#shared/db/schema.ts';

export type DomainRow = {
  readonly id: bigint;
  /** Empty: its mail is not signed. */
  readonly algorithms: readonly DkimAlgorithm[] | null;
  readonly keys: readonly DkimKeyRow[];
};

export type DkimKeyRow = {
  readonly selector: string;
  readonly algorithm: DkimAlgorithm;
  readonly state: DkimKeyState;
  readonly since: Date;
  readonly seenSince: Date | null;
  readonly sealKeyId: string;
};

/** Null: the domain has no row, so its resource was not accepted, or not yet. */
export async function readDomainRow(db: Kysely<Database>, resourceUid: string): Promise<DomainRow | null> {
  const row = await db
    .selectFrom('domain')
    .select(['id', 'dkim_algorithms'])
    .where('resource_uid', '=', resourceUid)
    .where('retained_at', 'is', null)
    .executeTakeFirst();
  if (row === undefined) return null;
  const keys = await db
    .selectFrom('dkim_key')
    .select(['selector', 'algorithm', 'state', 'state_since', 'seen_at', 'seal_key_id'])
    .where('domain_id', '=', row.id)
    .orderBy('state_since')
    .orderBy('selector')
    .execute();
  return {
    id: row.id,
    algorithms: row.dkim_algorithms,
    keys: keys.map((key) => ({
      selector: key.selector,
      algorithm: key.algorithm,
      state: key.state,
      since: key.state_since,
      seenSince: key.seen_at,
      sealKeyId: key.seal_key_id,
    })),
  };
}

/** By domain name, the namespaces that showed to have it. */
export async function readClaimants(
  db: Kysely<Database>,
  names: readonly string[],
): Promise<ReadonlyMap<string, readonly string[]>> {
  const rows = await db
    .selectFrom('domain_claim')
    .select(['domain', 'namespace'])
    .where('domain', '=', sql<string>`any(${[...names]}::text[])`)
    .execute();
  const claimants = new Map<string, string[]>(names.map((name) => [name, []]));
  for (const { domain, namespace } of rows) claimants.get(domain)?.push(namespace);
  return claimants;
}

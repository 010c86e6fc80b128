/** The server processes that give signs of life, as they tell of themselves in the database. */
import { sql, type Kysely } from 'kysely';
import { z } from 'zod';
import type { Database } from '#shared/db/schema.ts';

const verdict = <const Words extends readonly [string, ...string[]]>(...words: Words) =>
  z.enum(words).catch('unknown' as Words[number]);

/** Of any release: what is missing or strange is not known. */
const facts = z
  .object({
    isReady: z.boolean().catch(true),
    isDraining: z.boolean().catch(false),
    databaseConnections: z.number().int().nullable().catch(null),
    outboundPort25: verdict('open', 'blocked', 'unknown'),
    dnssec: verdict('validating', 'not-validating', 'unknown'),
    clientAddresses: verdict('preserved', 'masked', 'unknown'),
  })
  .catch({
    isReady: true,
    isDraining: false,
    databaseConnections: null,
    outboundPort25: 'unknown',
    dnssec: 'unknown',
    clientAddresses: 'unknown',
  });

export type InstanceFacts = z.output<typeof facts>;

export type ServerInstance = {
  readonly name: string;
  readonly roles: readonly string[];
  readonly version: string;
  readonly startedAt: Date;
  readonly facts: InstanceFacts;
};

/** Three heartbeats and a little; in seconds. */
const aliveSeconds = 35;

type Row = Omit<ServerInstance, 'facts'> & { readonly facts: unknown };

export async function readInstances(db: Kysely<Database>): Promise<readonly ServerInstance[]> {
  const { rows } = await sql<Row>`select name, roles, version, started_at as "startedAt", facts
    from server_instance where seen_at > now() - make_interval(secs => ${aliveSeconds}) order by name`.execute(db);
  return rows.map((row) => ({ ...row, facts: facts.parse(row.facts) }));
}

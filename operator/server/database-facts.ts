import { sql, type Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';

/** What Postgres says of itself. */
export type DatabaseFacts = {
  readonly version: string;
  readonly fsync: boolean;
  readonly synchronousCommit: string;
  /** Standby servers that have each commit before it is told; null: this user may not see. */
  readonly synchronousStandbys: number | null;
  readonly maxConnections: number;
  /** Kept for superusers. */
  readonly reservedConnections: number;
  readonly schemaVersion: number;
};

export async function readDatabaseFacts(db: Kysely<Database>): Promise<DatabaseFacts> {
  // Rows of others have no state for users without pg_monitor.
  const { rows } = await sql<DatabaseFacts>`select
      current_setting('server_version') as version,
      current_setting('fsync')::bool as fsync,
      current_setting('synchronous_commit') as "synchronousCommit",
      (select case when count(*) > count(sync_state) then null
         else (count(*) filter (where sync_state in ('sync', 'quorum')))::int end
       from pg_stat_replication) as "synchronousStandbys",
      current_setting('max_connections')::int as "maxConnections",
      current_setting('superuser_reserved_connections')::int as "reservedConnections",
      (select max(number) from schema_state) as "schemaVersion"`.execute(db);
  const [facts] = rows;
  if (!facts) throw new Error('the database said nothing of itself');
  return facts;
}

/**
 * Fencing. A leader that was paused, or cut off from the API server, may go on to write after another was elected: its
 * transactions fail, because each looks whether the database still knows it as the last leader.
 */
import { sql, type Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';

/** The database has seen a newer leader: whoever gets this has nothing to say any more. */
export class StaleEpoch extends Error {
  override readonly name = 'StaleEpoch';

  constructor(epoch: bigint) {
    super(`a newer leader has the database; this one took it with epoch ${epoch}`);
  }
}

const leader = 'operator';

/** A new leader takes the database, once; waits for the transactions of the one before. `holder` is for people. */
export async function takeEpoch(db: Kysely<Database>, holder: string): Promise<bigint> {
  const { rows } = await sql<{ readonly epoch: bigint }>`
    insert into operator_leader (name, epoch, holder) values (${leader}, 1, ${holder})
      on conflict (name) do update set epoch = operator_leader.epoch + 1, holder = excluded.holder, since = now()
      returning epoch`.execute(db);
  const [row] = rows;
  if (!row) throw new Error('no epoch was given');
  return row.epoch;
}

/** First in every transaction that a leader writes in. Throws StaleEpoch. */
export async function assertEpoch(tx: Kysely<Database>, epoch: bigint): Promise<void> {
  const row = await tx
    .selectFrom('operator_leader')
    .select('epoch')
    .where('name', '=', leader)
    .forShare()
    .executeTakeFirst();
  if (row?.epoch !== epoch) throw new StaleEpoch(epoch);
}

/** The transaction's changes of the directory are not told on `directoryChannel`: whoever listens made them. */
export async function quiet(tx: Kysely<Database>): Promise<void> {
  await sql`select set_config('postrider.writer', 'reconciler', true)`.execute(tx);
}

/** Heard when rows were changed by anybody else; the payload is the table. */
export const directoryChannel = 'postrider_directory';

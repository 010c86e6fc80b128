import { sql, type Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';
import { transact } from '#shared/db/tx.ts';

/** More mailboxes than could have been made between the backup and the loss; 2^32 leaves room for hundreds of restores. */
const distance = 10_000_000;

/**
 * For a database that was restored from a backup, while no server runs: gives every mailbox a UIDVALIDITY above any
 * that it, or another of its name, can have had since. UIDs given after the backup will be given again, and a
 * client that knows them must not take the new messages for the old ones (RFC 3501 section 2.3.1.1). Resolves
 * with the number of mailboxes.
 */
export async function raiseUidValidities(db: Kysely<Database>): Promise<number> {
  return transact(db, async (tx) => {
    // A writer in the middle of a change would still answer with the old one.
    await sql`lock table mailbox in exclusive mode`.execute(tx);
    await sql`
      select setval('uidvalidity_seq', greatest(last_value, extract(epoch from now())::bigint) + ${distance}::bigint)
      from uidvalidity_seq`.execute(tx);
    const { numAffectedRows } = await sql`update mailbox set uidvalidity = nextval('uidvalidity_seq')`.execute(tx);
    return Number(numAffectedRows ?? 0n);
  });
}

/** Emails that EXPUNGE of many messages left behind (0020-imap-writes.sql, email_loose). */
import { sql, type Kysely } from 'kysely';
import type { AccountId } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { transact } from '#shared/db/tx.ts';

/** Deletes those that lie in no mailbox, thousands in each transaction. Resolves with how many there were. */
export async function sweepLooseEmails(db: Kysely<Database>, signal: AbortSignal): Promise<number> {
  let removed = 0;
  for (;;) {
    const count = signal.aborted ? null : await transact(db, sweepNote);
    if (count === null) return removed;
    removed += count;
  }
}

/**
 * The emails of one note; null: there is none. An email that lies in no mailbox can't come into one again: COPY and MOVE
 * begin at a message of it. So this needs no account's lock.
 */
async function sweepNote(tx: Kysely<Database>): Promise<number | null> {
  const { rows } = await sql<{ account_id: AccountId; id: bigint }>`
    select account_id, id from email_loose limit 1 for update skip locked`.execute(tx);
  const [note] = rows;
  if (!note) return null;
  const { numAffectedRows } = await sql`
    with noted as (
      delete from email_loose where account_id = ${note.account_id} and id = ${note.id} returning email_ids)
    delete from email where ctid = any (array(
      select e.at from (select unnest(email_ids) as id from noted) i, lateral (
        select ctid as at from email
        where account_id = ${note.account_id} and id = i.id
          and not exists (select from message m where m.account_id = ${note.account_id} and m.email_id = i.id)
        offset 0) e))`.execute(tx);
  return Number(numAffectedRows ?? 0n);
}

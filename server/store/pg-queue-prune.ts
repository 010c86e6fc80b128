/** What the outbound queue keeps for "where is my mail", removed after a time, some rows in each transaction. */
import { sql, type Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';

const rowsPerTransaction = 5_000;

/** Dead and captured recipients whose message would have expired so long ago. */
function pruneRecipients(db: Kysely<Database>, seconds: number) {
  return sql`delete from outbound_recipient where id in (
    select r.id from outbound_recipient r join outbound_message m on m.id = r.message_id
      where r.state in ('dead', 'captured') and m.expires_at < now() - make_interval(secs => ${seconds})
      limit ${rowsPerTransaction})`.execute(db);
}

/** Messages without a recipient left. */
function pruneMessages(db: Kysely<Database>, seconds: number) {
  return sql`delete from outbound_message where id in (
    select m.id from outbound_message m
      where m.accepted_at < now() - make_interval(secs => ${seconds})
        and not exists (select from outbound_recipient r where r.message_id = m.id)
      limit ${rowsPerTransaction})`.execute(db);
}

/** Attempts of messages that are gone. */
function pruneAttempts(db: Kysely<Database>, seconds: number) {
  return sql`delete from outbound_attempt a using (
    select distinct t.message_id from outbound_attempt t
      where t.at < now() - make_interval(secs => ${seconds})
        and not exists (select from outbound_message m where m.id = t.message_id)
      limit ${rowsPerTransaction}) gone where a.message_id = gone.message_id`.execute(db);
}

/** `seconds`: how long what is done is kept. Resolves with the rows removed. */
export async function pruneQueue(
  db: Kysely<Database>,
  seconds: number,
  signal: AbortSignal,
): Promise<{ readonly outboundMessages: number; readonly outboundAttempts: number }> {
  const all = async (prune: typeof pruneMessages): Promise<number> => {
    let removed = 0;
    for (let count = 1; count > 0 && !signal.aborted; removed += count) {
      count = Number((await prune(db, seconds)).numAffectedRows ?? 0n);
    }
    return removed;
  };
  await all(pruneRecipients);
  return { outboundMessages: await all(pruneMessages), outboundAttempts: await all(pruneAttempts) };
}

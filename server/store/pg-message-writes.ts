/**
 * Removes rows of `message` and `email`, for any number of messages in two statements.
 *
 * How they are written decides their speed: mail that has just come is not in the planner's statistics, and a
 * plain join of 10,000 UIDs with 10,000 messages would then be a loop in a loop. OFFSET 0 makes the inner query
 * be run for each range or row, by its key; rows to delete are named by their ctid, which nobody moves under the
 * account's lock.
 */
import { sql, type RawBuilder } from 'kysely';
import type { MailboxId } from '#shared/base/ids.ts';
import type { UidSet } from '#server/mail/uid-set.ts';
import { int8Array } from './binary-array.ts';
import type { LockedAccount } from './pg-change.ts';

/** Removes the messages, and the emails that lie nowhere else. Resolves with their bytes. */
export async function deleteRows(account: LockedAccount, from: MailboxId, uids: UidSet): Promise<number> {
  const { tx, accountId } = account;
  const { rows } = await sql<{ ids: readonly bigint[] | null; size: bigint }>`/*delete-messages*/
    with chosen as (${deleted(account, from, uids)})
    select array_agg(email_id) as ids, coalesce(sum(size), 0)::int8 as size from chosen`.execute(tx);
  // A statement of its own: it must see that the rows above are gone.
  await sql`/*delete-emails*/
    delete from email where ctid = any (array(
      select e.at from unnest(${int8Array(rows[0]?.ids ?? [])}::int8[]) i (id), lateral (
        select ctid as at from email
        where account_id = ${accountId} and id = i.id
          and not exists (select from message m where m.account_id = ${accountId} and m.email_id = i.id)
        offset 0) e))`.execute(tx);
  return Number(rows[0]?.size ?? 0);
}

function messagesOf({ accountId }: LockedAccount, from: MailboxId, uids: UidSet): RawBuilder<unknown> {
  return sql`
    select m.* from unnest(${int8Array(uids.map(([first]) => first))}::int8[], ${int8Array(uids.map(([, last]) => last))}::int8[])
        r (first, last), lateral (
      select ctid as at, uid, email_id, size, internal_date from message
      where account_id = ${accountId} and mailbox_id = ${from} and uid between r.first and r.last
      offset 0) m`;
}

function deleted(account: LockedAccount, from: MailboxId, uids: UidSet): RawBuilder<unknown> {
  return sql`
    delete from message where ctid = any (array(select at from (${messagesOf(account, from, uids)}) m))
    returning uid, email_id, size, internal_date`;
}

/**
 * The frame of changes of an account's mailboxes: take the account's lock, read, decide in memory, write all of it in
 * one statement. The lock serialises the account's writers, so what is read under it stays true. Changes of messages
 * take fewer round trips: pg-message-change.ts.
 */
import { sql, type Kysely, type Transaction } from 'kysely';
import type { AccountId, MailboxId, ModSeq } from '#shared/base/ids.ts';
import type { ChangeKind } from '#shared/db/mail-tables.ts';
import type { Database } from '#shared/db/schema.ts';
import { transact } from '#shared/db/tx.ts';
import type { Mailbox } from '#server/mail/mailbox.ts';
import type { ChangeHint } from '#server/mail/ports.ts';
import { int8Array, textArray } from './binary-array.ts';
import { noSuchAccount, noSuchMailbox } from './pg-fault.ts';
import { toMailbox } from './pg-rows.ts';

/** An account under its lock. */
export type LockedAccount = {
  readonly tx: Transaction<Database>;
  readonly accountId: AccountId;
  /** That of the change to be made. */
  readonly modSeq: ModSeq;
};

export type LogEntry = { readonly mailboxId: MailboxId; readonly kind: ChangeKind; readonly uids: string };

/** What a change leaves behind. Numbers are added to what is there. */
export type Writes = {
  readonly usedBytes?: number;
  readonly messages?: number;
  /** Mailboxes that changed but for their messages. */
  readonly mailboxes?: readonly MailboxId[];
  /** Mailboxes whose messages the change has moved already: they are told of with the rest. */
  readonly moved?: readonly MailboxId[];
  readonly log: readonly LogEntry[];
};

/** What `change` decided: its value, and the writes to be made; null: nothing changed. */
export type Decision<T> = { readonly value: T; readonly writes: Writes | null };

/** Runs a change; `tell` hears of it after the commit. MailError no-such-account. */
export async function changeAccount<T>(
  db: Kysely<Database>,
  tell: (hint: ChangeHint) => void,
  accountId: AccountId,
  change: (account: LockedAccount) => Promise<Decision<T>>,
): Promise<T> {
  const { value, hint } = await transact(db, async (tx) => {
    const account = await lockAccount(tx, accountId);
    const decision = await change(account);
    if (!decision.writes) return { value: decision.value, hint: null };
    await write(account, decision.writes);
    const { log, moved = [] } = decision.writes;
    const mailboxIds = [...new Set([...log.map(({ mailboxId }) => mailboxId), ...moved])];
    return { value: decision.value, hint: { accountId, mailboxIds, modSeq: account.modSeq } };
  });
  if (hint) tell(hint);
  return value;
}

/** MailError no-such-account. */
export async function lockAccount(tx: Transaction<Database>, accountId: AccountId): Promise<LockedAccount> {
  const { rows } = await sql<{ modseq: bigint }>`/*lock-account*/
    select modseq from account_state where account_id = ${accountId} for update`.execute(tx);
  const [row] = rows;
  if (!row) throw noSuchAccount();
  return { tx, accountId, modSeq: (Number(row.modseq) + 1) as ModSeq };
}

/** MailError no-such-mailbox. */
export async function mailboxOf({ tx, accountId }: LockedAccount, id: MailboxId): Promise<Mailbox> {
  const row = await tx
    .selectFrom('mailbox')
    .selectAll()
    .where('account_id', '=', accountId)
    .where('id', '=', id)
    .executeTakeFirst();
  if (!row) throw noSuchMailbox();
  return toMailbox(row);
}

/** One statement, whatever the number of mailboxes. */
async function write({ tx, accountId, modSeq }: LockedAccount, writes: Writes): Promise<void> {
  const { mailboxes = [], log } = writes;
  await sql`/*write-change*/
    with account_done as (
      update account_state
        set modseq = ${modSeq}, used_bytes = used_bytes + ${writes.usedBytes ?? 0}, messages = messages + ${writes.messages ?? 0}
        where account_id = ${accountId}
    ), mailbox_done as (
      update mailbox set highest_modseq = ${modSeq}
        where account_id = ${accountId} and id = any (${int8Array(mailboxes)}::int8[])
    )
    insert into change_log (account_id, modseq, mailbox_id, kind, uids)
      select ${accountId}::int8, ${modSeq}::int8, l.* from unnest(
        ${int8Array(log.map(({ mailboxId }) => mailboxId))}::int8[],
        ${textArray(log.map(({ kind }) => kind))}::text[],
        ${textArray(log.map(({ uids }) => uids))}::text[]) l`.execute(tx);
}

/**
 * The frame of every change of an account but delivery: take the account's lock, read, decide in memory, write
 * all of it in one statement. The lock serialises the account's writers, so what is read under it stays true, and
 * it is the only place where modseqs are handed out.
 */
import { sql, type Kysely, type Transaction } from 'kysely';
import type { AccountId, MailboxId, ModSeq } from '#shared/base/ids.ts';
import type { ChangeKind } from '#shared/db/mail-tables.ts';
import type { Database } from '#shared/db/schema.ts';
import { transact } from '#shared/db/tx.ts';
import type { Mailbox } from '#server/mail/mailbox.ts';
import type { MailboxPage } from '#server/mail/mailbox-page.ts';
import type { ChangeHint } from '#server/mail/ports.ts';
import { byteaArray, int4Array, int8Array, textArray } from './binary-array.ts';
import { noSuchAccount, noSuchMailbox } from './pg-fault.ts';
import { toMailbox } from './pg-rows.ts';

/** An account under its lock. */
export type LockedAccount = {
  readonly tx: Transaction<Database>;
  readonly accountId: AccountId;
  /** That of the change to be made. */
  readonly modSeq: ModSeq;
  readonly usedBytes: number;
  readonly limitBytes: number | null;
};

export type LogEntry = { readonly mailboxId: MailboxId; readonly kind: ChangeKind; readonly uids: string };

/** What a change leaves behind. Numbers without a comment are added to what is there. */
export type Writes = {
  readonly usedBytes?: number;
  readonly messages?: number;
  readonly mailboxes?: readonly {
    readonly id: MailboxId;
    readonly uids?: number;
    readonly messages?: number;
    readonly unseen?: number;
    readonly sizeBytes?: number;
  }[];
  /** Pages as they are now. */
  readonly pages?: readonly { readonly mailboxId: MailboxId; readonly page: MailboxPage }[];
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
    const mailboxIds = [...new Set(decision.writes.log.map(({ mailboxId }) => mailboxId))];
    return { value: decision.value, hint: { accountId, mailboxIds, modSeq: account.modSeq } };
  });
  if (hint) tell(hint);
  return value;
}

async function lockAccount(tx: Transaction<Database>, accountId: AccountId): Promise<LockedAccount> {
  const { rows } = await sql<{ modseq: bigint; used_bytes: bigint; quota_bytes: bigint | null }>`/*lock-account*/
    select s.modseq, s.used_bytes, a.quota_bytes
    from account_state s left join account a on a.id = s.account_id
    where s.account_id = ${accountId} for update of s`.execute(tx);
  const [row] = rows;
  if (!row) throw noSuchAccount();
  return {
    tx,
    accountId,
    modSeq: (Number(row.modseq) + 1) as ModSeq,
    usedBytes: Number(row.used_bytes),
    limitBytes: row.quota_bytes === null ? null : Number(row.quota_bytes),
  };
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

/** Writes a mailbox's keyword table where it grew. */
export async function growKeywords(
  { tx, accountId }: LockedAccount,
  mailbox: Mailbox,
  table: readonly string[],
): Promise<void> {
  if (table === mailbox.keywords) return;
  await tx
    .updateTable('mailbox')
    .set({ keywords: [...table] })
    .where('account_id', '=', accountId)
    .where('id', '=', mailbox.id)
    .execute();
}

/** One statement, whatever the number of messages. */
async function write({ tx, accountId, modSeq }: LockedAccount, writes: Writes): Promise<void> {
  const { mailboxes = [], pages = [], log } = writes;
  await sql`/*write-change*/
    with account_done as (
      update account_state
        set modseq = ${modSeq}, used_bytes = used_bytes + ${writes.usedBytes ?? 0}, messages = messages + ${writes.messages ?? 0}
        where account_id = ${accountId}
    ), mailbox_done as (
      update mailbox m
        set highest_modseq = ${modSeq}, uidnext = m.uidnext + b.uids, messages = m.messages + b.messages,
            unseen = m.unseen + b.unseen, size = m.size + b.size
        from unnest(
          ${int8Array(mailboxes.map(({ id }) => id))}::int8[],
          ${int8Array(mailboxes.map(({ uids }) => uids ?? 0))}::int8[],
          ${int8Array(mailboxes.map(({ messages }) => messages ?? 0))}::int8[],
          ${int8Array(mailboxes.map(({ unseen }) => unseen ?? 0))}::int8[],
          ${int8Array(mailboxes.map(({ sizeBytes }) => sizeBytes ?? 0))}::int8[]) b (id, uids, messages, unseen, size)
        where m.account_id = ${accountId} and m.id = b.id
    ), pages_done as (
      insert into mailbox_page (account_id, mailbox_id, page, present, flags, modseqs, keywords, base_modseq, max_modseq)
        select ${accountId}::int8, p.* from unnest(
          ${int8Array(pages.map(({ mailboxId }) => mailboxId))}::int8[],
          ${int4Array(pages.map(({ page }) => page.page))}::int4[],
          ${byteaArray(pages.map(({ page }) => page.present))}::bytea[],
          ${byteaArray(pages.map(({ page }) => page.flags))}::bytea[],
          ${byteaArray(pages.map(({ page }) => page.modSeqs))}::bytea[],
          ${byteaArray(pages.map(({ page }) => page.keywords))}::bytea[],
          ${int8Array(pages.map(({ page }) => page.baseModSeq))}::int8[],
          ${int8Array(pages.map(({ page }) => page.maxModSeq))}::int8[]) p
        on conflict (account_id, mailbox_id, page) do update
          set present = excluded.present, flags = excluded.flags, modseqs = excluded.modseqs,
              keywords = excluded.keywords, base_modseq = excluded.base_modseq, max_modseq = excluded.max_modseq
    )
    insert into change_log (account_id, modseq, mailbox_id, kind, uids)
      select ${accountId}::int8, ${modSeq}::int8, l.* from unnest(
        ${int8Array(log.map(({ mailboxId }) => mailboxId))}::int8[],
        ${textArray(log.map(({ kind }) => kind))}::text[],
        ${textArray(log.map(({ uids }) => uids))}::text[]) l`.execute(tx);
}

/** CREATE, DELETE, RENAME: the account's mailboxes and the memory of what UIDVALIDITY a name had. */
import { sql } from 'kysely';
import type { MailboxId } from '#shared/base/ids.ts';
import { maxMailboxes } from '#shared/base/limits.ts';
import { MailError } from '#server/mail/mail-error.ts';
import { delimiter, type Mailbox, type SpecialUse } from '#server/mail/mailbox.ts';
import { inbox, isBelow, newMailboxName, parentsOf } from '#server/mail/mailbox-name.ts';
import { mailboxOf, type Decision, type LockedAccount, type LogEntry } from './pg-change.ts';
import { changeUnderLock } from './pg-message-change.ts';
import { deleteRows } from './pg-message-writes.ts';
import { everyUid, toMailbox } from './pg-rows.ts';
import { moveMessages } from './pg-transfer.ts';

/** Names that an account remembers the UIDVALIDITY of; with more it forgets them all, and remembers that. */
const maxRememberedNames = 10_000;

export async function createMailbox(
  account: LockedAccount,
  name: string,
  specialUse: SpecialUse | null,
): Promise<Decision<Mailbox>> {
  const made = await makeMailboxes(account, newMailboxName(name), specialUse);
  return { value: made.at(-1) as Mailbox, writes: { log: logOf('mailbox-made', made) } };
}

export async function deleteMailbox(account: LockedAccount, id: MailboxId): Promise<Decision<void>> {
  const { tx, accountId } = account;
  const mailbox = await mailboxOf(account, id);
  if (mailbox.name === inbox) throw new MailError({ kind: 'not-permitted', reason: 'INBOX cannot be deleted' });
  if ((await mailboxesBelow(account, mailbox.name)).length > 0) {
    throw new MailError({ kind: 'mailbox-has-children', name: mailbox.name });
  }
  await rememberNames(account, [mailbox]);
  await deleteRows(account, id, everyUid);
  await tx.deleteFrom('mailbox_page').where('account_id', '=', accountId).where('mailbox_id', '=', id).execute();
  await tx.deleteFrom('mailbox').where('account_id', '=', accountId).where('id', '=', id).execute();
  return {
    value: undefined,
    writes: { usedBytes: -mailbox.sizeBytes, messages: -mailbox.messages, log: logOf('mailbox-gone', [mailbox]) },
  };
}

/** With the levels below; INBOX keeps its own and gives its messages away (RFC 3501 section 6.3.5). */
export async function renameMailbox(account: LockedAccount, id: MailboxId, to: string): Promise<Decision<void>> {
  const mailbox = await mailboxOf(account, id);
  const wanted = newMailboxName(to);
  if (mailbox.name === inbox) return renameInbox(account, mailbox, wanted);
  await refuseExisting(account, wanted);
  if (isBelow(wanted, mailbox.name)) {
    throw new MailError({ kind: 'not-permitted', reason: 'A mailbox cannot be moved below itself' });
  }
  const moved = [mailbox, ...(await mailboxesBelow(account, mailbox.name))];
  const names = moved.map(({ name }) => newMailboxName(wanted + name.slice(mailbox.name.length)));
  const parent = parentsOf(wanted).at(-1);
  const made = parent === undefined ? [] : await makeMissing(account, parent);
  await rememberNames(account, moved);
  await sql`
    update mailbox m
      set name = r.name,
          -- RFC 3501 section 2.3.1.1: the new name may have had a later UIDVALIDITY than this mailbox's.
          uidvalidity = case
            when m.uidvalidity <= greatest(s.name_floor, (
              select uidvalidity from mailbox_name n where n.account_id = m.account_id and n.name = r.name))
            then nextval('uidvalidity_seq') else m.uidvalidity end
      from unnest(${moved.map(({ id }) => id)}::int8[], ${names}::text[]) r (id, name), account_state s
      where m.account_id = ${account.accountId} and m.id = r.id and s.account_id = m.account_id`.execute(account.tx);
  return {
    value: undefined,
    writes: {
      mailboxes: moved.map(({ id }) => id),
      log: [...logOf('mailbox-made', made), ...logOf('mailbox-renamed', moved)],
    },
  };
}

async function renameInbox(account: LockedAccount, mailbox: Mailbox, to: string): Promise<Decision<void>> {
  const made = await makeMailboxes(account, to, null);
  await changeUnderLock(account, moveMessages(mailbox.id, everyUid, (made.at(-1) as Mailbox).id));
  return { value: undefined, writes: { moved: [mailbox.id], log: logOf('mailbox-made', made) } };
}

/** The mailbox and the missing ones above it, the highest first. MailError mailbox-exists, limit. */
async function makeMailboxes(
  account: LockedAccount,
  name: string,
  specialUse: SpecialUse | null,
): Promise<readonly Mailbox[]> {
  await refuseExisting(account, name);
  return makeMissing(account, name, specialUse);
}

async function refuseExisting({ tx, accountId }: LockedAccount, name: string): Promise<void> {
  const row = await tx
    .selectFrom('mailbox')
    .select('id')
    .where('account_id', '=', accountId)
    .where('name', '=', name)
    .executeTakeFirst();
  if (row) throw new MailError({ kind: 'mailbox-exists', name });
}

async function makeMissing(
  account: LockedAccount,
  name: string,
  specialUse: SpecialUse | null = null,
): Promise<readonly Mailbox[]> {
  const { tx, accountId, modSeq } = account;
  const levels = [...parentsOf(name), name];
  const { rows } = await sql<{ known: readonly string[]; count: bigint }>`
    select array(select name from mailbox where account_id = ${accountId} and name = any (${levels}::text[])) as known,
      (select count(*) from mailbox where account_id = ${accountId}) as count`.execute(tx);
  const known = new Set(rows[0]?.known);
  const missing = levels.filter((level) => !known.has(level));
  if (Number(rows[0]?.count) + missing.length > maxMailboxes) {
    throw new MailError({ kind: 'limit', reason: `an account has at most ${maxMailboxes} mailboxes` });
  }
  if (missing.length === 0) return [];
  const made = await tx
    .insertInto('mailbox')
    .values(
      missing.map((level) => ({
        account_id: accountId,
        name: level,
        special_use: level === name ? specialUse : null,
        highest_modseq: BigInt(modSeq),
      })),
    )
    .returningAll()
    .execute();
  return made.map(toMailbox).sort((a, b) => a.name.length - b.name.length);
}

async function mailboxesBelow({ tx, accountId }: LockedAccount, name: string): Promise<readonly Mailbox[]> {
  const rows = await tx
    .selectFrom('mailbox')
    .selectAll()
    .where('account_id', '=', accountId)
    .where('name', '>', name + delimiter)
    // The sign after the delimiter: names are compared by code points.
    .where('name', '<', name + String.fromCharCode(delimiter.charCodeAt(0) + 1))
    .execute();
  return rows.map(toMailbox);
}

async function rememberNames({ tx, accountId }: LockedAccount, mailboxes: readonly Mailbox[]): Promise<void> {
  await tx
    .insertInto('mailbox_name')
    .values(
      mailboxes.map(({ name, uidValidity }) => ({ account_id: accountId, name, uidvalidity: BigInt(uidValidity) })),
    )
    .onConflict((conflict) =>
      conflict.columns(['account_id', 'name']).doUpdateSet((eb) => ({
        uidvalidity: sql<bigint>`greatest(mailbox_name.uidvalidity, ${eb.ref('excluded.uidvalidity')})`,
      })),
    )
    .execute();
  const { count } = await tx
    .selectFrom('mailbox_name')
    .select((eb) => eb.fn.countAll<bigint>().as('count'))
    .where('account_id', '=', accountId)
    .executeTakeFirstOrThrow();
  if (count <= maxRememberedNames) return;
  await sql`
    with forgotten as (delete from mailbox_name where account_id = ${accountId} returning uidvalidity)
    update account_state set name_floor = (select max(uidvalidity) from forgotten) where account_id = ${accountId}`.execute(
    tx,
  );
}

function logOf(kind: LogEntry['kind'], mailboxes: readonly Mailbox[]): readonly LogEntry[] {
  return mailboxes.map(({ id }) => ({ mailboxId: id, kind, uids: '' }));
}

/**
 * The frame of changes of messages: read what is there in one statement, decide in memory, write all of it in one call
 * of change_flags or change_mail (0020-imap-writes.sql), which take the account's lock and do nothing where somebody else
 * has changed the account since. No transaction waits for us between the two.
 */
import { CompiledQuery, sql, type Kysely, type Selectable } from 'kysely';
import type { AccountId, MailboxId, ModSeq } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { classifyPgError, isConnectionLoss } from '#shared/db/pg-error.ts';
import { transact } from '#shared/db/tx.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { Mailbox } from '#server/mail/mailbox.ts';
import { pagesOf, type MailboxPage } from '#server/mail/mailbox-page.ts';
import type { UidSet } from '#server/mail/uid-set.ts';
import { byteaArray, int4Array, int8Array, textArray } from './binary-array.ts';
import { lockAccount, type LockedAccount, type LogEntry } from './pg-change.ts';
import { noSuchAccount, noSuchMailbox } from './pg-fault.ts';
import { mailboxColumns, pageColumns, rangesOf, toMailbox, toPage, type PageColumns } from './pg-rows.ts';

/** After so many others came in between, the account's lock is taken before it is read. */
const attemptsWithoutLock = 3;
const attemptsToRead = 3;

/** What is there before a change, of one moment. */
export type Before = {
  /** That of the change to be made. */
  readonly modSeq: ModSeq;
  /** Bytes that the account may have; null: any number. */
  readonly limitBytes: number | null;
  readonly source: Mailbox;
  /** The same object as `source` where a change has one mailbox. */
  readonly target: Mailbox;
  /** The source's pages that may hold the messages named, ascending. */
  readonly pages: readonly MailboxPage[];
  /** The target's page in which its next UID lies, of a change that adds messages; null: there is none yet. */
  readonly lastPage: MailboxPage | null;
};

type MovedRows = { readonly kind: 'copy' | 'move' | 'expunge'; readonly uids: UidSet };

export type MessageWrites = {
  /** What becomes of the source's rows of these UIDs, all of which are there. */
  readonly rows: { readonly kind: 'flags' } | MovedRows;
  /** The target's keyword table, where it grew. */
  readonly keywords: readonly string[] | null;
  /** What to add to the counters; `bytes` is the sign with which the bytes of the rows count. */
  readonly mailboxes: readonly {
    readonly id: MailboxId;
    readonly uids?: number;
    readonly messages?: number;
    readonly unseen?: number;
    readonly bytes?: 1 | -1;
  }[];
  /** Pages as they are now. */
  readonly pages: readonly { readonly mailboxId: MailboxId; readonly page: MailboxPage }[];
  readonly log: readonly LogEntry[];
};

/** What was decided; `writes` null: nothing changes. */
export type MessageDecision<T> = { readonly value: T; readonly writes: MessageWrites | null };

export type MessageChange<T> = {
  readonly from: MailboxId;
  readonly to: MailboxId;
  readonly uids: UidSet;
  /** Messages get new UIDs in `to`. */
  readonly adds: boolean;
  /** To be done twice comes to the same. */
  readonly isRepeatable: boolean;
  /** Pure: it may be asked again, of a later moment. */
  readonly decide: (before: Before) => MessageDecision<T>;
};

/** Writes, and the moment that they were decided on. */
export type Written = { readonly before: Before; readonly writes: MessageWrites };

/** `written` null: nothing was. */
export type MessagesChanged<T> = { readonly value: T; readonly written: Written | null };

/**
 * Decides on `known` first, where it is given, which is then no more than a guess of what is there.
 * MailError no-such-account, no-such-mailbox, over-quota.
 */
export async function changeMessages<T>(
  db: Kysely<Database>,
  accountId: AccountId,
  change: MessageChange<T>,
  known: Before | null,
): Promise<MessagesChanged<T>> {
  if (known !== null) {
    const changed = await changeKnown(db, accountId, change, known);
    if (changed !== null) return changed;
  }
  for (let attempt = 1; attempt <= attemptsWithoutLock; attempt++) {
    const before = await readAgain(() => readBefore(db, accountId, change));
    const changed = await attemptChange(db, accountId, change, before);
    if (changed !== null) return changed;
  }
  return transact(db, async (tx) => changeLocked(await lockAccount(tx, accountId), change));
}

/** Within a longer change of the account, which writes at the same modseq. Resolves with the value. */
export async function changeUnderLock<T>(account: LockedAccount, change: MessageChange<T>): Promise<T> {
  return (await changeLocked(account, change)).value;
}

async function changeLocked<T>(
  { tx, accountId }: LockedAccount,
  change: MessageChange<T>,
): Promise<MessagesChanged<T>> {
  const changed = await attemptChange(tx, accountId, change, await readBefore(tx, accountId, change));
  if (changed === null) throw new Error(`account ${accountId} was changed under its lock`);
  return changed;
}

/** A lost connection leaves the outcome open, so only a repeatable change comes here. Null: to be done (again). */
async function changeKnown<T>(
  db: Kysely<Database>,
  accountId: AccountId,
  change: MessageChange<T>,
  known: Before,
): Promise<MessagesChanged<T> | null> {
  try {
    const changed = await attemptChange(db, accountId, change, known);
    // That nothing is to be done is a guess too, which no write has compared with what is there.
    return changed?.written ? changed : null;
  } catch (error) {
    if (isConnectionLoss(error)) return null;
    throw error;
  }
}

/** Null: somebody else changed the account since `before`. */
async function attemptChange<T>(
  db: Kysely<Database>,
  accountId: AccountId,
  change: MessageChange<T>,
  before: Before,
): Promise<MessagesChanged<T> | null> {
  const { value, writes } = change.decide(before);
  if (writes === null) return { value, written: null };
  try {
    const outcome = await write(db, accountId, change, before, writes);
    if (outcome === 'over-quota') throw new MailError({ kind: 'over-quota', limitBytes: before.limitBytes ?? 0 });
    return outcome === 'done' ? { value, written: { before, writes } } : null;
  } catch (error) {
    // A deadlock's loser wrote nothing.
    if (classifyPgError(error).kind === 'serialization' && !db.isTransaction) return null;
    throw error;
  }
}

/** Reading may be done again where the pool's connection turns out to be dead. */
async function readAgain<T>(read: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await read();
    } catch (error) {
      if (attempt === attemptsToRead || !isConnectionLoss(error)) throw error;
    }
  }
}

type BeforeRow = Selectable<Database['mailbox']> & {
  readonly account_modseq: bigint;
  readonly quota_bytes: bigint | null;
} & {
  readonly [Column in keyof PageColumns]: PageColumns[Column] | null;
};

/** MailError no-such-account, no-such-mailbox. */
async function readBefore(
  db: Kysely<Database>,
  accountId: AccountId,
  { from, to, uids, adds }: MessageChange<unknown>,
): Promise<Before> {
  const { rows } = await sql<BeforeRow>`/*read-before*/
    select s.modseq as account_modseq, a.quota_bytes, ${mailboxColumns}, p.*
    from account_state s
    left join account a on a.id = s.account_id
    left join mailbox m on m.account_id = s.account_id and m.id in (${from}::int8, ${to}::int8)
    left join lateral (
      select q.* from ${rangesOf(pagesOf(uids))}, lateral (
        select ${pageColumns} from mailbox_page p
        where p.account_id = s.account_id and p.mailbox_id = m.id and p.page between r.first and r.last
        offset 0) q
      where m.id = ${from}::int8
      union all
      select ${pageColumns} from mailbox_page p
      where p.account_id = s.account_id and p.mailbox_id = m.id and p.page = (m.uidnext >> 8)::int4
        and m.id = ${to}::int8 and ${adds}::bool
    ) p on true
    where s.account_id = ${accountId}`.execute(db);
  const [first] = rows;
  if (!first) throw noSuchAccount();
  const [sourceRow, targetRow] = [from, to].map((id) => rows.find((row) => row.id === id));
  if (!sourceRow || !targetRow) throw noSuchMailbox();
  const source = toMailbox(sourceRow);
  const target = from === to ? source : toMailbox(targetRow);
  const pagesIn = (id: MailboxId): ReadonlyMap<number, MailboxPage> =>
    new Map(
      rows.flatMap((row) => (row.id === id && row.page !== null ? [[row.page, toPage(row as PageColumns)]] : [])),
    );
  const ranges = pagesOf(uids);
  const pages = [...pagesIn(from).values()]
    .filter(({ page }) => ranges.some(([low, high]) => low <= page && page <= high))
    .sort((a, b) => a.page - b.page);
  return {
    modSeq: (Number(first.account_modseq) + 1) as ModSeq,
    limitBytes: first.quota_bytes === null ? null : Number(first.quota_bytes),
    source,
    target,
    pages,
    lastPage: adds ? (pagesIn(to).get(target.uidNext >>> 8) ?? null) : null,
  };
}

/** Their texts are made once: those of so many parameters would cost as much as what they do. */
const changeMailText = `/*change-mail*/
  select change_mail($1::int8, $2::int8, $3::text, $4::int8, $5::int8, $6::int8[], $7::int8[], $8::int8, $9::int8,
    $10::text[], $11::int8[], $12::int8[], $13::int8[], $14::int8[], $15::int8[], $16::int8[], $17::int4[], $18::bytea[],
    $19::bytea[], $20::bytea[], $21::bytea[], $22::int8[], $23::int8[], $24::int8[], $25::text[], $26::text[]) as outcome`;

const changeFlagsText = `/*change-flags*/
  select change_flags($1::int8, $2::int8, $3::int8, $4::int8, $5::text[], $6::int4[], $7::bytea[], $8::bytea[], $9::bytea[],
    $10::int8[], $11::text) as is_done`;

const changePageFlagsText = `/*change-page-flags*/
  select change_page_flags($1::int8, $2::int8, $3::int8, $4::int8, $5::text[], $6::int4, $7::bytea, $8::bytea, $9::bytea,
    $10::int8, $11::text) as is_done`;

async function write(
  db: Kysely<Database>,
  accountId: AccountId,
  change: MessageChange<unknown>,
  before: Before,
  writes: MessageWrites,
): Promise<'done' | 'changed' | 'over-quota'> {
  if (writes.rows.kind === 'flags') return writeFlags(db, accountId, before, writes);
  return writeRows(db, accountId, change, before, { ...writes, ...writes.rows });
}

async function writeFlags(
  db: Kysely<Database>,
  accountId: AccountId,
  before: Before,
  { keywords, mailboxes, pages, log }: MessageWrites,
): Promise<'done' | 'changed'> {
  const [first, another] = pages;
  const head = [
    accountId,
    before.modSeq - 1,
    before.source.id,
    mailboxes[0]?.unseen ?? 0,
    keywords && textArray(keywords),
  ];
  const uids = log[0]?.uids ?? '';
  const statement =
    first && !another
      ? CompiledQuery.raw(changePageFlagsText, [...head, ...pageParameters(first.page), uids])
      : CompiledQuery.raw(changeFlagsText, [
          ...head,
          int4Array(pages.map(({ page }) => page.page)),
          byteaArray(pages.map(({ page }) => page.flags)),
          byteaArray(pages.map(({ page }) => page.modSeqs)),
          byteaArray(pages.map(({ page }) => page.keywords)),
          int8Array(pages.map(({ page }) => page.baseModSeq)),
          uids,
        ]);
  const answer = await db.executeQuery<{ is_done: boolean }>(statement);
  const [row] = answer.rows;
  if (row === undefined) throw new Error('change_flags said nothing');
  return row.is_done ? 'done' : 'changed';
}

function pageParameters({ page, flags, modSeqs, keywords, baseModSeq }: MailboxPage): readonly unknown[] {
  return [page, flags, modSeqs, keywords, baseModSeq];
}

async function writeRows(
  db: Kysely<Database>,
  accountId: AccountId,
  { from, to }: MessageChange<unknown>,
  before: Before,
  { kind, uids, keywords, mailboxes, pages, log }: Omit<MessageWrites, 'rows'> & MovedRows,
): Promise<'done' | 'changed' | 'over-quota'> {
  const parameters = [
    accountId,
    before.modSeq - 1,
    kind,
    from,
    to,
    int8Array(uids.map(([first]) => first)),
    int8Array(uids.map(([, last]) => last)),
    before.target.uidNext,
    before.limitBytes,
    keywords && textArray(keywords),
    int8Array(mailboxes.map(({ id }) => id)),
    int8Array(mailboxes.map((box) => box.uids ?? 0)),
    int8Array(mailboxes.map(({ messages }) => messages ?? 0)),
    int8Array(mailboxes.map(({ unseen }) => unseen ?? 0)),
    int8Array(mailboxes.map(({ bytes }) => bytes ?? 0)),
    int8Array(pages.map(({ mailboxId }) => mailboxId)),
    int4Array(pages.map(({ page }) => page.page)),
    byteaArray(pages.map(({ page }) => page.present)),
    byteaArray(pages.map(({ page }) => page.flags)),
    byteaArray(pages.map(({ page }) => page.modSeqs)),
    byteaArray(pages.map(({ page }) => page.keywords)),
    int8Array(pages.map(({ page }) => page.baseModSeq)),
    int8Array(pages.map(({ page }) => page.maxModSeq)),
    int8Array(log.map(({ mailboxId }) => mailboxId)),
    textArray(log.map(({ kind }) => kind)),
    textArray(log.map(({ uids: named }) => named)),
  ];
  const answer = await db.executeQuery<{ outcome: 'done' | 'changed' | 'over-quota' }>(
    CompiledQuery.raw(changeMailText, parameters),
  );
  const outcome = answer.rows[0]?.outcome;
  if (outcome === undefined) throw new Error('change_mail said nothing');
  return outcome;
}

/** FETCH: flags from pages, the rest from rows, in batches bounded in rows and bytes. No transaction is held between them. */
import { sql, type Kysely, type Selectable } from 'kysely';
import type { AccountId, MailboxId, Uid } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { keywordNames } from '#server/mail/keyword-table.ts';
import type { Mailbox } from '#server/mail/mailbox.ts';
import {
  flagsOf,
  forEachUidIn,
  keywordBitsOf,
  modSeqOf,
  pageNumberOf,
  type MailboxPage,
} from '#server/mail/mailbox-page.ts';
import { slotRanges, uidsPerPage } from '#server/mail/mailbox-page-columns.ts';
import type { FetchedMessage, FetchWants, MessageContent } from '#server/mail/ports.ts';
import { uidSet, type UidSet } from '#server/mail/uid-set.ts';
import { contentsOf } from './pg-content.ts';
import { noSuchMailbox } from './pg-fault.ts';
import { readRows, type MessageRow } from './pg-message-rows.ts';
import { mailboxColumns, readPageNumbers, readPages, toMailbox } from './pg-rows.ts';

/** A batch has fewer than these and those of one page more. */
const uidsPerBatch = 700;
const maxPagesPerBatch = 64;
/** MailError no-such-mailbox. */
export async function* fetchMessages(
  db: Kysely<Database>,
  place: { readonly accountId: AccountId; readonly mailboxId: MailboxId },
  uids: UidSet,
  wants: FetchWants,
): AsyncGenerator<readonly FetchedMessage[], void, void> {
  const { accountId, mailboxId } = place;
  await readHeader(db, accountId, mailboxId);
  const numbers = await readPageNumbers(db, accountId, mailboxId, uids);
  for (const some of batchesOf(numbers, uids)) {
    const pages = await readPages(db, accountId, mailboxId, everyUidOf(some));
    // Read after the pages, the keyword table has all of their bits: it only grows.
    const keywords = wants.flags ? (await readHeader(db, accountId, mailboxId)).keywords : [];
    const byNumber = new Map(pages.map((page) => [page.page, page]));
    for await (const rows of readRows(db, place, uidsIn(pages, uids), wants)) {
      const contents = wants.content ? contentsOf(db, rows) : null;
      yield rows.map((row) => {
        const uid = Number(row.uid) as Uid;
        const page = byNumber.get(pageNumberOf(uid)) as MailboxPage;
        return fetchedMessage(row, wants, wants.flags ? stateOf(page, uid, keywords) : null, contents?.get(uid));
      });
    }
  }
}

function stateOf(page: MailboxPage, uid: Uid, keywords: readonly string[]) {
  return {
    flags: flagsOf(page, uid),
    keywords: keywordNames(keywords, keywordBitsOf(page, uid)),
    modSeq: modSeqOf(page, uid),
  };
}

function fetchedMessage(
  row: MessageRow,
  wants: FetchWants,
  state: ReturnType<typeof stateOf> | null,
  content: MessageContent | undefined,
): FetchedMessage {
  return {
    uid: Number(row.uid) as Uid,
    emailId: row.email_id,
    ...state,
    ...(row.internal_date && { internalDate: row.internal_date }),
    ...(wants.size && { size: Number(row.size) }),
    ...(row.envelope !== undefined && { envelope: row.envelope }),
    ...(row.bodystructure !== undefined && { bodystructure: row.bodystructure }),
    ...(content && { content }),
  };
}

async function readHeader(db: Kysely<Database>, accountId: AccountId, mailboxId: MailboxId): Promise<Mailbox> {
  const { rows } = await sql<Selectable<Database['mailbox']>>`/*read-mailbox*/
    select ${mailboxColumns} from mailbox m where m.account_id = ${accountId} and m.id = ${mailboxId}`.execute(db);
  if (!rows[0]) throw noSuchMailbox();
  return toMailbox(rows[0]);
}

/** Pages a batch: few where the set has many of their UIDs, more where it has a few of each. */
function* batchesOf(numbers: readonly number[], uids: UidSet): Generator<readonly number[], void, void> {
  let batch: number[] = [];
  let candidates = 0;
  for (const number of numbers) {
    batch.push(number);
    for (const [first, last] of slotRanges(uids, number)) candidates += last - first + 1;
    if (candidates < uidsPerBatch && batch.length < maxPagesPerBatch) continue;
    yield batch;
    batch = [];
    candidates = 0;
  }
  if (batch.length > 0) yield batch;
}

function everyUidOf(numbers: readonly number[]): UidSet {
  return uidSet(numbers.map((number) => [number * uidsPerPage, number * uidsPerPage + uidsPerPage - 1]));
}

function uidsIn(pages: readonly MailboxPage[], set: UidSet): readonly Uid[] {
  const uids: Uid[] = [];
  for (const page of pages) forEachUidIn(page, set, (uid) => uids.push(uid));
  return uids;
}

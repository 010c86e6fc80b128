/** FETCH: flags from pages, the rest from rows, in batches bounded in rows and bytes. No transaction is held between them. */
import { sql, type Kysely, type Selectable } from 'kysely';
import type { AccountId, BlobHash, EmailId, MailboxId, Uid } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { keywordNames } from '#server/mail/keyword-table.ts';
import type { Mailbox } from '#server/mail/mailbox.ts';
import {
  flagsOf,
  forEachUidIn,
  keywordBitsOf,
  modSeqOf,
  pageNumberOf,
  pagesOf,
  type MailboxPage,
} from '#server/mail/mailbox-page.ts';
import { slotRanges, uidsPerPage } from '#server/mail/mailbox-page-columns.ts';
import type { FetchedMessage, FetchWants, MessageContent } from '#server/mail/ports.ts';
import { uidSet, type UidSet } from '#server/mail/uid-set.ts';
import { int4Array, int8Array } from './binary-array.ts';
import { contentsOf } from './pg-content.ts';
import { noSuchMailbox } from './pg-fault.ts';
import { readPages, toMailbox } from './pg-rows.ts';

/** A batch has fewer than these and those of one page more. */
const uidsPerBatch = 700;
const maxPagesPerBatch = 64;
/** Of ENVELOPE, BODYSTRUCTURE and part tables of one query; a single row may have more. */
const maxBatchBytes = 4 * 1024 * 1024;

export type RowWants = Omit<FetchWants, 'flags'> & { readonly sentDay?: boolean };

/** A message's columns; only what was wanted is there. */
export type MessageRow = {
  readonly uid: bigint;
  readonly email_id: EmailId;
  readonly internal_date?: Date;
  readonly size?: bigint;
  readonly envelope?: string;
  readonly bodystructure?: string;
  readonly sent_day?: string | null;
  readonly prefix?: Buffer;
  readonly parts?: string;
  readonly hash?: BlobHash;
  readonly raw_size?: bigint;
  readonly in_pieces?: boolean;
};

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

/** Rows of those of the messages that are still there, ascending, in batches. `uids` ascend. */
export async function* readRows(
  db: Kysely<Database>,
  { accountId, mailboxId }: { readonly accountId: AccountId; readonly mailboxId: MailboxId },
  uids: readonly number[],
  wants: RowWants,
): AsyncGenerator<readonly MessageRow[], void, void> {
  const statement = statementFor(wants);
  let rest = uids;
  while (rest.length > 0) {
    const { rows } = await sql<MessageRow>`${statement.name}
      select r.* from (
        select w.*, sum(w.weight) over (order by w.uid) - w.weight as before from (
          select m.uid, m.email_id, ${statement.columns} from ${statement.tables}
          where m.account_id = ${accountId} and m.mailbox_id = ${mailboxId} and m.uid = any (${int8Array(rest)}::int8[])
        ) w
      ) r where r.before < ${maxBatchBytes} order by r.uid`.execute(db);
    const last = rows.at(-1);
    if (!last) return;
    yield rows;
    const after = Number(last.uid);
    rest = rest.slice(rest.findLastIndex((uid) => uid <= after) + 1);
  }
}

const columnsOf = {
  internalDate: ['m.internal_date'],
  size: ['e.size'],
  envelope: ['e.envelope'],
  bodystructure: ['e.bodystructure'],
  sentDay: ['e.sent_day'],
  content: [
    'e.size',
    'e.prefix',
    'e.parts',
    `encode(e.blob_hash, 'hex') as hash`,
    'b.size as raw_size',
    'b.raw is null as in_pieces',
  ],
} as const;

/** Columns that may be long, with what `octet_length` needs to know of them (it doesn't fetch the value). */
const weights = { envelope: 'e.envelope', bodystructure: 'e.bodystructure', content: 'e.parts' } as const;

/** A text of its own, and a name, for each combination of wants: at most 2^6. */
function statementFor(wants: RowWants) {
  const wanted = (Object.keys(columnsOf) as (keyof typeof columnsOf)[]).filter((want) => wants[want]);
  const columns = new Set<string>(wanted.flatMap((want) => columnsOf[want]));
  const weight = wanted
    .filter((want) => want in weights)
    .map((want) => `octet_length(${weights[want as keyof typeof weights]})`);
  const isEmailRead = wanted.some((want) => want !== 'internalDate');
  return {
    name: sql.raw(`/*fetch-${wanted.map((want) => want.toLowerCase()).join('-')}*/`),
    columns: sql.raw([...columns, `${['0', ...weight].join(' + ')} as weight`].join(', ')),
    tables: sql.raw(
      'message m' +
        (isEmailRead ? ' join email e on e.account_id = m.account_id and e.id = m.email_id' : '') +
        (wants.content ? ' join blob b on b.hash = e.blob_hash' : ''),
    ),
  };
}

async function readHeader(db: Kysely<Database>, accountId: AccountId, mailboxId: MailboxId): Promise<Mailbox> {
  const { rows } = await sql<Selectable<Database['mailbox']>>`/*read-mailbox*/
    select * from mailbox where account_id = ${accountId} and id = ${mailboxId}`.execute(db);
  if (!rows[0]) throw noSuchMailbox();
  return toMailbox(rows[0]);
}

async function readPageNumbers(
  db: Kysely<Database>,
  accountId: AccountId,
  mailboxId: MailboxId,
  uids: UidSet,
): Promise<readonly number[]> {
  const ranges = pagesOf(uids);
  const { rows } = await sql<{ page: number }>`/*page-numbers*/
    select p.page
    from unnest(${int4Array(ranges.map(([first]) => first))}::int4[], ${int4Array(ranges.map(([, last]) => last))}::int4[]) r (first, last)
    join mailbox_page p on p.account_id = ${accountId} and p.mailbox_id = ${mailboxId} and p.page between r.first and r.last
    order by p.page`.execute(db);
  return rows.map(({ page }) => page);
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

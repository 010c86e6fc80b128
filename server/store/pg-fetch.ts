/** FETCH: a statement a batch, which is bounded in messages and bytes. No transaction is held between them. */
import { sql, type Kysely } from 'kysely';
import type { AccountId, EmailId, MailboxId, ModSeq, Uid } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { keywordNames } from '#server/mail/keyword-table.ts';
import {
  flagsOf,
  forEachUidIn,
  keywordBitsOf,
  modSeqOf,
  pagesOf,
  type MailboxPage,
} from '#server/mail/mailbox-page.ts';
import type { FetchedMessage, FetchWants, MessageContent } from '#server/mail/ports.ts';
import type { UidSet } from '#server/mail/uid-set.ts';
import { headerFieldsOf } from '#server/mime/section.ts';
import { packedContents } from './pg-content.ts';
import { noSuchMailbox } from './pg-fault.ts';
import { fetchFromPacks, packKindsFor } from './pg-fetch-packs.ts';
import { readPackedRows, type PackedRows } from './pg-packed-rows.ts';
import { pageColumns, rangesOf, toPage, type PageColumns } from './pg-rows.ts';
import { readAhead } from './read-ahead.ts';

/** Pages of one statement. */
const pagesAtOnce = 32;
/** Of the headers of one batch of messages whose fields are wanted. */
const maxHeadersBytes = 4 * 1024 * 1024;
/** A header of so many bytes may stay for as long as its fields do. */
const smallHeader = 16 * 1024;

type Contents = (place: number) => MessageContent;
type Place = { readonly accountId: AccountId; readonly mailboxId: MailboxId };

/** MailError no-such-mailbox. */
export async function* fetchMessages(
  db: Kysely<Database>,
  place: Place,
  uids: UidSet,
  wants: FetchWants,
): AsyncGenerator<readonly FetchedMessage[], void, void> {
  let isEmpty = true;
  for await (const batch of readAhead(batchesOf(db, place, uids, wants))) {
    isEmpty = false;
    yield batch;
  }
  if (isEmpty) await assertThere(db, place);
}

function batchesOf(
  db: Kysely<Database>,
  place: Place,
  uids: UidSet,
  wants: FetchWants,
): AsyncGenerator<readonly FetchedMessage[], void, void> {
  const isInPages = Object.entries(wants).every(([want, isWanted]) => !isWanted || want === 'flags') && wants.flags;
  if (isInPages) return fromPages(db, place, uids);
  const byRows = (some: UidSet) => fromRows(db, place, some, wants);
  const kinds = packKindsFor(uids, wants);
  return kinds === null ? byRows(uids) : fetchFromPacks(db, place, { uids, wants, kinds }, byRows);
}

async function assertThere(db: Kysely<Database>, { accountId, mailboxId }: Place): Promise<void> {
  const { rows } = await sql`/*is-mailbox*/
    select from mailbox where account_id = ${accountId} and id = ${mailboxId}`.execute(db);
  if (rows.length === 0) throw noSuchMailbox();
}

/** What the pages alone know: a batch a page. */
async function* fromPages(
  db: Kysely<Database>,
  { accountId, mailboxId }: Place,
  uids: UidSet,
): AsyncGenerator<readonly FetchedMessage[], void, void> {
  const ranges = pagesOf(uids);
  for (let from = 0; ;) {
    const rest = ranges
      .filter(([, last]) => last >= from)
      .map(([first, last]) => [Math.max(first, from), last] as const);
    if (rest.length === 0) return;
    const { rows } = await sql<PageColumns & { readonly names: readonly string[] | null }>`/*fetch-pages*/
      select p.*, case when p.page_keywords is not null then b.keywords end as names
      from mailbox b, ${rangesOf(rest)}, lateral (
        select ${pageColumns} from mailbox_page p
        where p.account_id = b.account_id and p.mailbox_id = b.id and p.page between r.first and r.last
        order by p.page limit ${sql.lit(pagesAtOnce)}) p
      where b.account_id = ${accountId} and b.id = ${mailboxId}
      limit ${sql.lit(pagesAtOnce)}`.execute(db);
    for (const row of rows.toSorted((a, b) => a.page - b.page)) {
      const batch = messagesOf(toPage(row), uids, row.names ?? []);
      if (batch.length > 0) yield batch;
      from = row.page + 1;
    }
    if (rows.length < pagesAtOnce) return;
  }
}

function messagesOf(page: MailboxPage, uids: UidSet, names: readonly string[]): readonly FetchedMessage[] {
  const messages: FetchedMessage[] = [];
  forEachUidIn(page, uids, (uid) => {
    const keywords = keywordNames(names, keywordBitsOf(page, uid));
    messages.push({ uid, flags: flagsOf(page, uid), keywords, modSeq: modSeqOf(page, uid) });
  });
  return messages;
}

async function* fromRows(
  db: Kysely<Database>,
  place: Place,
  uids: UidSet,
  wants: FetchWants,
): AsyncGenerator<readonly FetchedMessage[], void, void> {
  for await (const rows of readPackedRows(db, place, uids, wants)) {
    const contents = rows.contents && packedContents(db, rows.contents);
    if (wants.headerFields && contents) yield* withHeaders(rows, contents, wants);
    else yield rows.uids.map((_, i) => messageOf(rows, i, contents));
  }
}

/** In portions of so many bytes of headers: a message may have one of megabytes. */
async function* withHeaders(
  rows: PackedRows,
  contents: Contents,
  { headerFields: fields = [], content }: FetchWants,
): AsyncGenerator<readonly FetchedMessage[], void, void> {
  let portion: FetchedMessage[] = [];
  let bytes = 0;
  for (const place of rows.uids.keys()) {
    const header = await headerOf(contents(place));
    const kept = headerFieldsOf(header, fields, false);
    // A copy: a piece of a string keeps all of it.
    const headerFields = header.length > smallHeader ? Buffer.from(kept, 'latin1').toString('latin1') : kept;
    portion.push({ ...messageOf(rows, place, content ? contents : undefined), headerFields });
    bytes += header.length;
    if (bytes < maxHeadersBytes) continue;
    yield portion;
    [portion, bytes] = [[], 0];
  }
  if (portion.length > 0) yield portion;
}

function messageOf(rows: PackedRows, i: number, contents?: Contents): FetchedMessage {
  return {
    uid: rows.uids[i] as Uid,
    ...(rows.states && stateOf(rows, i)),
    ...(rows.emailIds && { emailId: rows.emailIds[i] as EmailId }),
    ...(rows.internalDates && { internalDate: new Date(rows.internalDates[i] ?? 0) }),
    ...(rows.sizes && { size: rows.sizes[i] ?? 0 }),
    ...(rows.envelopes && { envelope: rows.envelopes[i] ?? '' }),
    ...(rows.bodystructures && { bodystructure: rows.bodystructures[i] ?? '' }),
    ...(contents && { content: contents(i) }),
  };
}

async function headerOf(content: MessageContent): Promise<string> {
  const { headerStart, bodyStart } = content.root;
  let header = content.prefix.toString('latin1');
  for await (const chunk of content.read(headerStart, bodyStart)) header += chunk.toString('latin1');
  return header;
}

/** Hexadecimal digits of a slot's flags, and with its offset from the page's lowest modseq. */
const [flagDigits, stateDigits] = [4, 12];
const noKeywords: readonly string[] = [];

function stateOf({ states = [], modSeqBases = [], keywords = noKeywords }: PackedRows, i: number) {
  const state = states[i] ?? '';
  return {
    flags: parseInt(state.slice(0, flagDigits), 16),
    modSeq: ((modSeqBases[i] ?? 0) + parseInt(state.slice(flagDigits, stateDigits), 16)) as ModSeq,
    keywords: state.length === stateDigits ? noKeywords : keywordNames(keywords, bitsOf(state.slice(stateDigits))),
  };
}

/** Bit n of the bytes, counted from the lowest of each, is keyword n. */
function bitsOf(digits: string): readonly number[] {
  const bits: number[] = [];
  for (const [place, byte] of Buffer.from(digits, 'hex').entries()) {
    for (let bit = 0; byte >> bit !== 0; bit++) if (((byte >> bit) & 1) === 1) bits.push(place * 8 + bit);
  }
  return bits;
}

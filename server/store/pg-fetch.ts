/** FETCH: a statement a batch, which is bounded in messages and bytes. No transaction is held between them. */
import { sql, type Kysely } from 'kysely';
import type { AccountId, EmailId, MailboxId, ModSeq, Uid } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { keywordNames } from '#server/mail/keyword-table.ts';
import type { FetchedMessage, FetchWants, MessageContent } from '#server/mail/ports.ts';
import type { UidSet } from '#server/mail/uid-set.ts';
import { headerFieldsOf } from '#server/mime/section.ts';
import type { FlagPages } from './flag-pages.ts';
import { packedContents } from './pg-content.ts';
import { noSuchMailbox } from './pg-fault.ts';
import { fetchFlags } from './pg-fetch-flags.ts';
import { fetchFromPacks, packKindsFor } from './pg-fetch-packs.ts';
import { readPackedRows, type PackedRows } from './pg-packed-rows.ts';
import { readAhead } from './read-ahead.ts';

/** Of the headers of one batch of messages whose fields are wanted. */
const maxHeadersBytes = 4 * 1024 * 1024;
/** A header of so many bytes may stay for as long as its fields do. */
const smallHeader = 16 * 1024;

type Contents = (place: number) => MessageContent;
type Place = { readonly accountId: AccountId; readonly mailboxId: MailboxId };

type Source = { readonly db: Kysely<Database>; readonly flagPages: FlagPages };

/** MailError no-such-mailbox. */
export async function* fetchMessages(
  source: Source,
  place: Place,
  uids: UidSet,
  wants: FetchWants,
): AsyncGenerator<readonly FetchedMessage[], void, void> {
  let isEmpty = true;
  for await (const batch of readAhead(batchesOf(source, place, uids, wants))) {
    isEmpty = false;
    yield batch;
  }
  if (isEmpty) await assertThere(source.db, place);
}

function batchesOf(
  { db, flagPages }: Source,
  place: Place,
  uids: UidSet,
  wants: FetchWants,
): AsyncGenerator<readonly FetchedMessage[], void, void> {
  const isInPages = Object.entries(wants).every(([want, isWanted]) => !isWanted || want === 'flags') && wants.flags;
  if (isInPages) return fetchFlags(db, flagPages, place, uids);
  const byRows = (some: UidSet) => fromRows(db, place, some, wants);
  const kinds = packKindsFor(uids, wants);
  return kinds === null ? byRows(uids) : fetchFromPacks(db, place, { uids, wants, kinds }, byRows);
}

async function assertThere(db: Kysely<Database>, { accountId, mailboxId }: Place): Promise<void> {
  const { rows } = await sql`/*is-mailbox*/
    select from mailbox where account_id = ${accountId} and id = ${mailboxId}`.execute(db);
  if (rows.length === 0) throw noSuchMailbox();
}

async function* fromRows(
  db: Kysely<Database>,
  place: Place,
  uids: UidSet,
  wants: FetchWants,
): AsyncGenerator<readonly FetchedMessage[], void, void> {
  for await (const rows of readPackedRows(db, place, uids, wants)) {
    const contents = rows.contents && packedContents(db, rows.contents, true);
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

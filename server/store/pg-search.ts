/**
 * SEARCH: pages first, then columns, and the bytes only of the messages that these leave open. Where a text is looked
 * for, the index names the messages that may have it (pg-search-index.ts), and those it doesn't know yet are scanned.
 */
import { sql, type Kysely } from 'kysely';
import type { AccountId, EmailId, MailboxId, Uid } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { keywordBit } from '#server/mail/keyword-table.ts';
import {
  flagsOf,
  forEachUid,
  hasKeywordBit,
  pageHas,
  pageNumberOf,
  type MailboxPage,
} from '#server/mail/mailbox-page.ts';
import type { MessageContent } from '#server/mail/ports.ts';
import type { SearchQuery } from '#server/mail/query.ts';
import { int8Array } from './binary-array.ts';
import { FairTurns } from './fair-turns.ts';
import { matchMessage } from './match-content.ts';
import { matchKnown, searchNeeds, type ContentKey, type KnownMessage, type SearchNeeds } from './match-query.ts';
import { contentsOf } from './pg-content.ts';
import { noSuchMailbox } from './pg-fault.ts';
import { readRows, type MessageRow } from './pg-message-rows.ts';
import { readMailboxState } from './pg-rows.ts';
import { askIndex, type IndexAnswer } from './pg-search-index.ts';

type Place = { readonly accountId: AccountId; readonly mailboxId: MailboxId };

/** What is asked, and where. */
type Search = Place & {
  readonly db: Kysely<Database>;
  readonly query: SearchQuery;
  readonly needs: SearchNeeds;
  readonly signal: AbortSignal;
};

/** Some of a mailbox's messages: those found already, and those of which more must be known. */
type Batch = { readonly found: readonly Uid[]; readonly open: ReadonlyMap<Uid, KnownMessage> };

/** A batch has so many, or those of one page more. */
const candidatesPerBatch = 750;
/** In a mailbox with fewer messages the index costs more than it saves. */
const indexWorthwhile = 256;
/** To look up a message by its email costs so many times what it costs to walk over one of the mailbox. */
const lookUpCost = 4;
/** Messages after the indexed ones that are looked up; with more the mailbox is walked over. */
const maxTail = 5000;

/** MailError no-such-mailbox; rejects with the signal's reason when it aborts. `indexFrom` is for tests. */
export async function searchMailbox(
  db: Kysely<Database>,
  place: Place,
  query: SearchQuery,
  options: { readonly signal: AbortSignal; readonly indexFrom?: number },
): Promise<readonly Uid[]> {
  const { signal, indexFrom = indexWorthwhile } = options;
  const needs = searchNeeds(query);
  const messages = needs.content ? await countMessages(db, place) : 0;
  const index = needs.content && messages >= indexFrom ? await askIndex(db, place.accountId, query, signal) : null;
  const search: Search = { ...place, db, query, needs, signal };
  const chosen = index && (await lookUp(search, index, messages));
  const found: Uid[] = [];
  for await (const batch of chosen ? chosenMessages(search, chosen) : allMessages(search)) {
    // What was chosen has been through the index.
    const rest = index && !chosen ? decideByIndex(search, index, batch.open) : decideRows(search, batch.open, needs);
    found.push(...batch.found, ...(await rest));
  }
  return found.sort((a, b) => a - b);
}

async function countMessages(db: Kysely<Database>, { accountId, mailboxId }: Place): Promise<number> {
  const { rows } = await sql<{ messages: bigint }>`/*count-messages*/
    select messages from mailbox where account_id = ${accountId} and id = ${mailboxId}`.execute(db);
  if (!rows[0]) throw noSuchMailbox();
  return Number(rows[0].messages);
}

/** The messages that the index leaves, ascending, and those it doesn't know; null: nearly all of the mailbox. */
async function lookUp(
  { db, accountId, mailboxId, query, signal }: Search,
  index: IndexAnswer,
  messages: number,
): Promise<readonly Uid[] | null> {
  const emails = await index.candidates(query, messages / lookUpCost, signal);
  if (emails === null) return null;
  const { rows } = await sql<{ uid: bigint; is_tail: boolean }>`/*search-places*/
    select m.uid, false as is_tail from unnest(${int8Array(emails)}::int8[]) c (email_id), lateral (
      select uid from message
      where account_id = ${accountId} and email_id = c.email_id and mailbox_id = ${mailboxId} offset 0) m
    union all (
      select uid, true from message
      where account_id = ${accountId} and email_id > ${index.indexedTo} and mailbox_id = ${mailboxId}
      order by email_id limit ${maxTail + 1})`.execute(db);
  if (rows.filter((row) => row.is_tail).length > maxTail) return null;
  return rows.map(({ uid }) => Number(uid) as Uid).sort((a, b) => a - b);
}

async function* chosenMessages(search: Search, uids: readonly Uid[]): AsyncGenerator<Batch, void, void> {
  const pages = search.needs.flags ? await knownByPage(search) : null;
  for (let at = 0; at < uids.length; at += candidatesPerBatch) {
    const known = uids.slice(at, at + candidatesPerBatch).map((uid) => (pages ? pages(uid) : { uid }));
    yield batchOf(
      search.query,
      known.filter((message) => message !== null),
    );
  }
}

async function* allMessages(search: Search): AsyncGenerator<Batch, void, void> {
  const { mailbox, pages } = await readState(search);
  const bitOf = keywordBits(mailbox.keywords);
  const turns = new FairTurns();
  let known: KnownMessage[] = [];
  for (const page of pages) {
    await turns.pause(search.signal);
    forEachUid(page, (uid) => known.push(knownOf(page, uid, bitOf)));
    if (known.length < candidatesPerBatch) continue;
    yield batchOf(search.query, known);
    known = [];
  }
  yield batchOf(search.query, known);
}

function batchOf(query: SearchQuery, messages: readonly KnownMessage[]): Batch {
  const found: Uid[] = [];
  const open = new Map<Uid, KnownMessage>();
  for (const known of messages) {
    const verdict = matchKnown(query, known);
    if (verdict === 'yes') found.push(known.uid as Uid);
    else if (verdict === 'unknown') open.set(known.uid as Uid, known);
  }
  return { found, open };
}

async function readState({ db, accountId, mailboxId }: Search) {
  const state = await readMailboxState(db, accountId, mailboxId, 0);
  if (!state) throw noSuchMailbox();
  return state;
}

/** What the pages know of a message; null: it is gone. */
async function knownByPage(search: Search): Promise<(uid: Uid) => KnownMessage | null> {
  const { mailbox, pages } = await readState(search);
  const bitOf = keywordBits(mailbox.keywords);
  const byNumber = new Map(pages.map((page) => [page.page, page]));
  return (uid) => {
    const page = byNumber.get(pageNumberOf(uid));
    return page && pageHas(page, uid) ? knownOf(page, uid, bitOf) : null;
  };
}

/** Those of the messages that match: the index and the columns come first, bytes are read only of what they leave. */
async function decideByIndex(
  search: Search,
  index: IndexAnswer,
  messages: ReadonlyMap<Uid, KnownMessage>,
): Promise<readonly Uid[]> {
  const { db, needs } = search;
  const found: Uid[] = [];
  const open = new Map<Uid, KnownMessage>();
  for await (const rows of readRows(db, search, [...messages.keys()], { ...needs, content: false })) {
    const known = rows.map((row) => withIndex(withColumns(messages, row, needs), index, row.email_id));
    const batch = batchOf(search.query, known);
    found.push(...batch.found);
    for (const [uid, message] of batch.open) open.set(uid, message);
  }
  const contentOnly = { ...needs, size: false, internalDate: false, sentDay: false };
  return [...found, ...(await decideRows(search, open, contentOnly))];
}

async function decideRows(
  search: Search,
  messages: ReadonlyMap<Uid, KnownMessage>,
  needs: SearchNeeds,
): Promise<readonly Uid[]> {
  const found: Uid[] = [];
  for await (const rows of readRows(search.db, search, [...messages.keys()], needs)) {
    const candidates = rows.map((row) => ({ row, known: withColumns(messages, row, needs) }));
    found.push(...(await matchRows(search, candidates)));
  }
  return found;
}

async function matchRows(
  { db, query, signal }: Search,
  candidates: readonly { readonly row: MessageRow; readonly known: KnownMessage }[],
): Promise<readonly Uid[]> {
  const found: Uid[] = [];
  const open: (typeof candidates)[number][] = [];
  for (const candidate of candidates) {
    const verdict = matchKnown(query, candidate.known);
    if (verdict === 'yes') found.push(candidate.known.uid as Uid);
    else if (verdict === 'unknown') open.push(candidate);
  }
  if (open.length === 0) return found;
  const contents = contentsOf(
    db,
    open.map(({ row }) => row),
  );
  const turns = new FairTurns();
  for (const { known } of open) {
    await turns.pause(signal);
    const content = (): Promise<MessageContent> => Promise.resolve(contents.get(known.uid) as MessageContent);
    if (await matchMessage(query, known, content, signal)) found.push(known.uid as Uid);
  }
  return found;
}

/** Looks a keyword up once, not for every message; -1: the mailbox doesn't have it. */
function keywordBits(table: readonly string[]): (keyword: string) => number {
  const known = new Map<string, number>();
  return (keyword) => {
    const bit = known.get(keyword) ?? keywordBit(table, keyword);
    known.set(keyword, bit);
    return bit;
  };
}

function knownOf(page: MailboxPage, uid: Uid, bitOf: (keyword: string) => number): KnownMessage {
  return {
    uid,
    flags: flagsOf(page, uid),
    hasKeyword: (keyword) => {
      const bit = bitOf(keyword);
      return bit !== -1 && hasKeywordBit(page, uid, bit);
    },
  };
}

function withColumns(open: ReadonlyMap<Uid, KnownMessage>, row: MessageRow, needs: SearchNeeds): KnownMessage {
  return {
    ...(open.get(Number(row.uid) as Uid) as KnownMessage),
    ...(needs.size && { size: Number(row.size) }),
    ...(needs.internalDate && row.internal_date && { internalDate: row.internal_date }),
    ...(needs.sentDay && { sentDay: row.sent_day ?? null }),
  };
}

function withIndex(known: KnownMessage, index: IndexAnswer, emailId: EmailId): KnownMessage {
  const id = Number(emailId);
  return { ...known, mayContain: (key: ContentKey) => index.mayContain(key, id) };
}

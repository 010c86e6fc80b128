/** SEARCH: pages first, then columns, and the bytes only of the messages that these leave open. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import type { AccountId, MailboxId, Uid } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { keywordBit } from '#server/mail/keyword-table.ts';
import { flagsOf, forEachUid, hasKeywordBit, type MailboxPage } from '#server/mail/mailbox-page.ts';
import type { MessageContent } from '#server/mail/ports.ts';
import type { SearchQuery } from '#server/mail/query.ts';
import { matchMessage } from './match-content.ts';
import { matchKnown, searchNeeds, type KnownMessage, type SearchNeeds } from './match-query.ts';
import { contentsOf } from './pg-content.ts';
import { noSuchMailbox } from './pg-fault.ts';
import { readRows, type MessageRow } from './pg-message-rows.ts';
import { readMailboxState } from './pg-rows.ts';

type Place = { readonly accountId: AccountId; readonly mailboxId: MailboxId };

/** A batch has so many, or those of one page more. */
const candidatesPerBatch = 750;

/** MailError no-such-mailbox; rejects with the signal's reason when it aborts. */
export async function searchMailbox(
  db: Kysely<Database>,
  place: Place,
  query: SearchQuery,
  signal: AbortSignal,
): Promise<readonly Uid[]> {
  const state = await readMailboxState(db, place.accountId, place.mailboxId, 0);
  if (!state) throw noSuchMailbox();
  const needs = searchNeeds(query);
  const found: Uid[] = [];
  let open = new Map<Uid, KnownMessage>();
  const lookAtOpen = async (): Promise<void> => {
    for await (const rows of readRows(db, place, [...open.keys()], needs)) {
      const known = rows.map((row) => ({ row, known: withColumns(open, row, needs) }));
      found.push(...(await matchRows(db, query, known, signal)));
    }
    open = new Map();
  };
  const bitOf = keywordBits(state.mailbox.keywords);
  for (const page of state.pages) {
    forEachUid(page, (uid) => {
      const known = knownOf(page, uid, bitOf);
      const verdict = matchKnown(query, known);
      if (verdict === 'yes') found.push(uid);
      else if (verdict === 'unknown') open.set(uid, known);
    });
    await pause(signal);
    if (open.size >= candidatesPerBatch) await lookAtOpen();
  }
  await lookAtOpen();
  return found.sort((a, b) => a - b);
}

async function matchRows(
  db: Kysely<Database>,
  query: SearchQuery,
  candidates: readonly { readonly row: MessageRow; readonly known: KnownMessage }[],
  signal: AbortSignal,
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
  for (const { known } of open) {
    await pause(signal);
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

/** Lets other work of the process go on. */
async function pause(signal: AbortSignal): Promise<void> {
  await nextTurn();
  signal.throwIfAborted();
}

/**
 * FETCH of what the pages alone know: flags, keywords, modseqs. A client that asks for all of them again and again gets
 * them from the pages that its last question left here, with those that changed since.
 */
import { sql, type Kysely } from 'kysely';
import type { AccountId, MailboxId } from '#shared/base/ids.ts';
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
import type { FetchedMessage } from '#server/mail/ports.ts';
import type { UidSet } from '#server/mail/uid-set.ts';
import { ownPage, type FlagPages, type HeldPages, type PageRanges } from './flag-pages.ts';
import { noSuchMailbox } from './pg-fault.ts';
import { pageColumns, rangesOf, readMailboxState, toPage, type PageColumns } from './pg-rows.ts';

/** Pages of one statement. */
const pagesAtOnce = 32;
/** So few are read each time: what changed since may be far more. */
const fewPages = 8;
/** No more than these are kept of a mailbox. */
const manyPages = 1024;

type Place = { readonly accountId: AccountId; readonly mailboxId: MailboxId };
type Read = { readonly page: MailboxPage; readonly names: readonly string[]; readonly modSeq: number };

/** A batch a page, ascending. MailError no-such-mailbox, where it could be told. */
export async function* fetchFlags(
  db: Kysely<Database>,
  remembered: FlagPages,
  place: Place,
  uids: UidSet,
): AsyncGenerator<readonly FetchedMessage[], void, void> {
  const ranges = pagesOf(uids);
  const { known: held, keep, isCurrent } = remembered.of(`${place.accountId} ${place.mailboxId}`);
  const isKept = !isFew(ranges);
  const current = isKept && held && isWithin(ranges, held.within) ? await readAgain(db, place, held) : null;
  // What is remembered and what was read since must be of one server.
  if (current && isCurrent()) {
    keep(current.held);
    const pages = [...current.held.pages.values()].toSorted((a, b) => a.page - b.page);
    for (const page of pages) {
      if (!isWithin([[page.page, page.page]], ranges)) continue;
      const batch = messagesOf(page, uids, current.names);
      if (batch.length > 0) yield batch;
    }
    return;
  }
  const pages = new Map<number, MailboxPage>();
  let asOf: number | null = null;
  for await (const { page, names, modSeq } of readPages(db, place, ranges)) {
    // Those that come later are as new at least.
    asOf ??= modSeq;
    if (isKept && pages.size <= manyPages && hasMessages(page)) pages.set(page.page, ownPage(page));
    const batch = messagesOf(page, uids, names);
    if (batch.length > 0) yield batch;
  }
  if (isKept && asOf !== null && pages.size <= manyPages) keep({ asOf, within: ranges, pages });
}

function isFew(ranges: PageRanges): boolean {
  return ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0) <= fewPages;
}

/** Both ascend. */
function isWithin(ranges: PageRanges, outer: PageRanges): boolean {
  let at = 0;
  return ranges.every(([first, last]) => {
    while (at < outer.length && (outer[at]?.[1] ?? 0) < first) at++;
    const [from, to] = outer[at] ?? [Infinity, 0];
    return from <= first && last <= to;
  });
}

function hasMessages({ present }: MailboxPage): boolean {
  return present.some((byte) => byte !== 0);
}

/** Null: what is held is not of this database's past. */
async function readAgain(
  db: Kysely<Database>,
  { accountId, mailboxId }: Place,
  held: HeldPages,
): Promise<{ readonly held: HeldPages; readonly names: readonly string[] } | null> {
  const state = await readMailboxState(db, accountId, mailboxId, held.asOf);
  if (state === null) throw noSuchMailbox();
  const { highestModSeq: asOf, keywords: names } = state.mailbox;
  if (asOf < held.asOf) return null;
  const pages = new Map(held.pages);
  for (const page of state.pages) {
    if (!hasMessages(page)) pages.delete(page.page);
    else if (isWithin([[page.page, page.page]], held.within)) pages.set(page.page, ownPage(page));
  }
  return pages.size <= manyPages ? { held: { ...held, asOf, pages }, names } : null;
}

async function* readPages(
  db: Kysely<Database>,
  { accountId, mailboxId }: Place,
  ranges: PageRanges,
): AsyncGenerator<Read, void, void> {
  type Row = PageColumns & { readonly names: readonly string[] | null; readonly highest_modseq: bigint };
  for (let from = 0; ;) {
    const rest = ranges
      .filter(([, last]) => last >= from)
      .map(([first, last]) => [Math.max(first, from), last] as const);
    if (rest.length === 0) return;
    const { rows } = await sql<Row>`/*fetch-pages*/
      select p.*, case when p.page_keywords is not null then b.keywords end as names, b.highest_modseq
      from mailbox b, ${rangesOf(rest)}, lateral (
        select ${pageColumns} from mailbox_page p
        where p.account_id = b.account_id and p.mailbox_id = b.id and p.page between r.first and r.last
        order by p.page limit ${sql.lit(pagesAtOnce)}) p
      where b.account_id = ${accountId} and b.id = ${mailboxId}
      limit ${sql.lit(pagesAtOnce)}`.execute(db);
    for (const row of rows.toSorted((a, b) => a.page - b.page)) {
      yield { page: toPage(row), names: row.names ?? [], modSeq: Number(row.highest_modseq) };
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

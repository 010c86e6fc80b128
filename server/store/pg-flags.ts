import type { MailboxId } from '#shared/base/ids.ts';
import type { FlagChange } from '#server/mail/flags.ts';
import { knownKeywordBits, withKeywords } from '#server/mail/keyword-table.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { Mailbox } from '#server/mail/mailbox.ts';
import { changePageFlags } from '#server/mail/mailbox-page-change.ts';
import { countPage, forEachUid, forEachUidIn, modSeqOf, type MailboxPage } from '#server/mail/mailbox-page.ts';
import type { FlagsStored } from '#server/mail/ports.ts';
import { formatUidSet, uidSet, uidSetOf, type UidSet } from '#server/mail/uid-set.ts';
import type { Before, MessageChange, MessageDecision } from './pg-message-change.ts';

/** One STORE. */
export type FlagOrder = { readonly uids: UidSet; readonly change: FlagChange };

/** Of each order its outcome: one that is refused is as if it had not been there. */
export type FlagOutcomes = readonly (FlagsStored | MailError)[];

/**
 * STORE: reads, changes and writes a row for each 256 UIDs. Several orders, of different messages, are made at once: they
 * share a modseq, and each hears of the pages that any of them changed.
 */
export function changeFlags(mailboxId: MailboxId, orders: readonly FlagOrder[]): MessageChange<FlagOutcomes> {
  return {
    from: mailboxId,
    to: mailboxId,
    uids: uidSet(orders.flatMap(({ uids }) => [...uids])),
    adds: false,
    isRepeatable: true,
    decide: (before) => decide(before, orders),
  };
}

function decide({ modSeq, source, pages }: Before, orders: readonly FlagOrder[]): MessageDecision<FlagOutcomes> {
  const now = new Map(pages.map((page) => [page.page, page]));
  let keywords = source.keywords;
  const faults = orders.map((order) => {
    try {
      keywords = obey(order, now, keywords, modSeq);
      return null;
    } catch (error) {
      if (error instanceof MailError) return error;
      throw error;
    }
  });
  const changed = pages.flatMap((page) => {
    const after = now.get(page.page) ?? page;
    return after === page ? [] : [after];
  });
  const unseen = sumUnseen(changed) - sumUnseen(pages.filter((page) => now.get(page.page) !== page));
  const isChanged = changed.length > 0;
  const mailbox: Mailbox = isChanged
    ? { ...source, keywords, highestModSeq: modSeq, unseen: source.unseen + unseen }
    : source;
  const value = orders.map(({ uids }, i) => {
    const touched = [...now.values()].filter((page) => changed.includes(page) || holdsAny(page, uids));
    return faults[i] ?? { mailbox, pages: touched, before: source.highestModSeq };
  });
  if (!isChanged) return { value, writes: null };
  return {
    value,
    writes: {
      rows: { kind: 'flags' },
      keywords: keywords === source.keywords ? null : keywords,
      mailboxes: [{ id: source.id, unseen }],
      pages: changed.map((page) => ({ mailboxId: source.id, page })),
      log: [{ mailboxId: source.id, kind: 'flags', uids: formatUidSet(changedUids(changed, modSeq)) }],
    },
  };
}

/** Changes the pages; gives the keyword table as it is then. A keyword that no message got is not made known. */
function obey(
  { uids, change }: FlagOrder,
  pages: Map<number, MailboxPage>,
  keywords: readonly string[],
  modSeq: number,
): readonly string[] {
  const { table, bits } =
    change.mode === 'remove'
      ? { table: keywords, bits: knownKeywordBits(keywords, change.keywords) }
      : withKeywords(keywords, change.keywords);
  const pageChange = { mode: change.mode, flags: change.flags, keywordBits: bits };
  let isChanged = false;
  for (const page of pages.values()) {
    const after = changePageFlags(page, uids, pageChange, modSeq);
    if (after === page) continue;
    pages.set(page.page, after);
    isChanged = true;
  }
  return isChanged ? table : keywords;
}

function holdsAny(page: MailboxPage, uids: UidSet): boolean {
  let holds = false;
  forEachUidIn(page, uids, () => {
    holds = true;
  });
  return holds;
}

function sumUnseen(pages: readonly MailboxPage[]): number {
  return pages.reduce((sum, page) => sum + countPage(page).unseen, 0);
}

function changedUids(pages: readonly MailboxPage[], modSeq: number): UidSet {
  const changed: number[] = [];
  for (const page of pages) {
    forEachUid(page, (uid) => {
      if (modSeqOf(page, uid) === modSeq) changed.push(uid);
    });
  }
  return uidSetOf(changed);
}

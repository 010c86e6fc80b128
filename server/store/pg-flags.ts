import type { MailboxId } from '#shared/base/ids.ts';
import type { FlagChange } from '#server/mail/flags.ts';
import { knownKeywordBits, withKeywords } from '#server/mail/keyword-table.ts';
import { changePageFlags } from '#server/mail/mailbox-page-change.ts';
import { countPage, forEachUidIn, modSeqOf, type MailboxPage } from '#server/mail/mailbox-page.ts';
import type { FlagsStored } from '#server/mail/ports.ts';
import { formatUidSet, uidSetOf, type UidSet } from '#server/mail/uid-set.ts';
import type { Before, MessageChange, MessageDecision } from './pg-message-change.ts';

/** STORE: reads, changes and writes a row for each 256 UIDs. */
export function changeFlags(mailboxId: MailboxId, uids: UidSet, change: FlagChange): MessageChange<FlagsStored> {
  return {
    from: mailboxId,
    to: mailboxId,
    uids,
    adds: false,
    isRepeatable: true,
    decide: (before) => decide(before, uids, change),
  };
}

function decide({ modSeq, source, pages }: Before, uids: UidSet, change: FlagChange): MessageDecision<FlagsStored> {
  const { table, bits } =
    change.mode === 'remove'
      ? { table: source.keywords, bits: knownKeywordBits(source.keywords, change.keywords) }
      : withKeywords(source.keywords, change.keywords);
  const were = pages.filter((page) => holdsAny(page, uids));
  const pageChange = { mode: change.mode, flags: change.flags, keywordBits: bits };
  const are = were.map((page) => changePageFlags(page, uids, pageChange, modSeq));
  const changed = are.filter((page, i) => page !== were[i]);
  const before = source.highestModSeq;
  // A keyword that no message got is not made known: there is room for few, and none is ever given back.
  if (changed.length === 0) return { value: { mailbox: source, pages: are, before }, writes: null };
  const unseen = sumUnseen(are) - sumUnseen(were);
  return {
    value: {
      mailbox: { ...source, keywords: table, highestModSeq: modSeq, unseen: source.unseen + unseen },
      pages: are,
      before,
    },
    writes: {
      rows: { kind: 'flags' },
      keywords: table === source.keywords ? null : table,
      mailboxes: [{ id: source.id, unseen }],
      pages: changed.map((page) => ({ mailboxId: source.id, page })),
      log: [{ mailboxId: source.id, kind: 'flags', uids: formatUidSet(changedUids(changed, uids, modSeq)) }],
    },
  };
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

function changedUids(pages: readonly MailboxPage[], uids: UidSet, modSeq: number): UidSet {
  const changed: number[] = [];
  for (const page of pages) {
    forEachUidIn(page, uids, (uid) => {
      if (modSeqOf(page, uid) === modSeq) changed.push(uid);
    });
  }
  return uidSetOf(changed);
}

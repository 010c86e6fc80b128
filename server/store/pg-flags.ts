import type { MailboxId } from '#shared/base/ids.ts';
import type { FlagChange } from '#server/mail/flags.ts';
import { knownKeywordBits, withKeywords } from '#server/mail/keyword-table.ts';
import { changePageFlags } from '#server/mail/mailbox-page-change.ts';
import { countPage, forEachUidIn, modSeqOf, type MailboxPage } from '#server/mail/mailbox-page.ts';
import type { MailboxState } from '#server/mail/ports.ts';
import { formatUidSet, uidSetOf, type UidSet } from '#server/mail/uid-set.ts';
import { growKeywords, mailboxOf, type Decision, type LockedAccount } from './pg-change.ts';
import { readPages } from './pg-rows.ts';

/** STORE: reads, changes and writes a row for each 256 UIDs. */
export async function changeFlags(
  account: LockedAccount,
  mailboxId: MailboxId,
  uids: UidSet,
  change: FlagChange,
): Promise<Decision<MailboxState>> {
  const { modSeq } = account;
  const mailbox = await mailboxOf(account, mailboxId);
  const { table, bits } =
    change.mode === 'remove'
      ? { table: mailbox.keywords, bits: knownKeywordBits(mailbox.keywords, change.keywords) }
      : withKeywords(mailbox.keywords, change.keywords);
  const before = (await readPages(account.tx, account.accountId, mailboxId, uids)).filter((page) =>
    holdsAny(page, uids),
  );
  const pageChange = { mode: change.mode, flags: change.flags, keywordBits: bits };
  const after = before.map((page) => changePageFlags(page, uids, pageChange, modSeq));
  const changed = after.filter((page, i) => page !== before[i]);
  // A keyword that no message got is not made known: there is room for few, and none is ever given back.
  if (changed.length === 0) return { value: { mailbox, pages: after }, writes: null };
  await growKeywords(account, mailbox, table);
  const unseen = sumUnseen(after) - sumUnseen(before);
  return {
    value: {
      mailbox: { ...mailbox, keywords: table, highestModSeq: modSeq, unseen: mailbox.unseen + unseen },
      pages: after,
    },
    writes: {
      mailboxes: [{ id: mailboxId, unseen }],
      pages: changed.map((page) => ({ mailboxId, page })),
      log: [{ mailboxId, kind: 'flags', uids: formatUidSet(changedUids(changed, uids, modSeq)) }],
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

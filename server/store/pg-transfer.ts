/** COPY, MOVE and EXPUNGE: a handful of statements, whatever the number of messages. */
import type { MailboxId, Uid } from '#shared/base/ids.ts';
import { flagBits, type FlagBits } from '#server/mail/flags.ts';
import { keywordNames, withKeywords } from '#server/mail/keyword-table.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { Mailbox } from '#server/mail/mailbox.ts';
import { addToPage, removeFromPage } from '#server/mail/mailbox-page-change.ts';
import {
  emptyPage,
  flagsOf,
  forEachUidIn,
  keywordBitsOf,
  pagesOf,
  type MailboxPage,
} from '#server/mail/mailbox-page.ts';
import type { Copied } from '#server/mail/ports.ts';
import { formatUidSet, uidSet, uidSetOf, type UidSet } from '#server/mail/uid-set.ts';
import { growKeywords, mailboxOf, type Decision, type LockedAccount, type Writes } from './pg-change.ts';
import { copyRows, deleteRows, moveRows } from './pg-message-writes.ts';
import { everyUid, readPages } from './pg-rows.ts';

const maxUid = 0xffff_ffff;

type Chosen = {
  readonly uids: readonly Uid[];
  readonly pages: readonly MailboxPage[];
  readonly messages: readonly { readonly flags: FlagBits; readonly keywordBits: readonly number[] }[];
  readonly unseen: number;
};

/** COPY: refuses over-quota. */
export async function copyMessages(
  account: LockedAccount,
  from: MailboxId,
  uids: UidSet,
  to: MailboxId,
): Promise<Decision<Copied>> {
  const source = await mailboxOf(account, from);
  const target = await mailboxOf(account, to);
  const chosen = await choose(account, source, uids);
  if (chosen.uids.length === 0) return nothingCopied(target);
  const added = await addPages(account, source, target, chosen);
  const sizeBytes = await copyRows(account, source.id, target, uidSetOf(chosen.uids));
  if (account.limitBytes !== null && account.usedBytes + sizeBytes > account.limitBytes) {
    throw new MailError({ kind: 'over-quota', limitBytes: account.limitBytes });
  }
  const messages = chosen.uids.length;
  const writes: Writes = {
    usedBytes: sizeBytes,
    messages,
    mailboxes: [{ id: to, uids: messages, messages, unseen: chosen.unseen, sizeBytes }],
    pages: [...added.values()].map((page) => ({ mailboxId: to, page })),
    log: [{ mailboxId: to, kind: 'added', uids: formatUidSet(destinationOf(target, chosen)) }],
  };
  return { value: copied(target, chosen), writes };
}

/** MOVE: within one mailbox the messages get new UIDs (RFC 6851 section 3.3). */
export async function moveMessages(
  account: LockedAccount,
  from: MailboxId,
  uids: UidSet,
  to: MailboxId,
): Promise<Decision<Copied>> {
  const source = await mailboxOf(account, from);
  const target = await mailboxOf(account, to);
  const chosen = await choose(account, source, uids);
  if (chosen.uids.length === 0) return nothingCopied(target);
  const set = uidSetOf(chosen.uids);
  const added = await addPages(account, source, target, chosen);
  const removed = chosen.pages.map((page) =>
    removeFromPage((from === to && added.get(page.page)) || page, set, account.modSeq),
  );
  const kept =
    from === to
      ? [...added.values()].filter(({ page }) => !removed.some((other) => other.page === page))
      : [...added.values()];
  const sizeBytes = await moveRows(account, source.id, target, set);
  const messages = chosen.uids.length;
  const { unseen } = chosen;
  const writes: Writes = {
    mailboxes:
      from === to
        ? [{ id: to, uids: messages }]
        : [
            { id: from, messages: -messages, unseen: -unseen, sizeBytes: -sizeBytes },
            { id: to, uids: messages, messages, unseen, sizeBytes },
          ],
    pages: [...removed.map((page) => ({ mailboxId: from, page })), ...kept.map((page) => ({ mailboxId: to, page }))],
    log: [
      { mailboxId: from, kind: 'removed', uids: formatUidSet(set) },
      { mailboxId: to, kind: 'added', uids: formatUidSet(destinationOf(target, chosen)) },
    ],
  };
  return { value: copied(target, chosen), writes };
}

/** EXPUNGE: the messages with \Deleted; null: of the whole mailbox. */
export async function expungeMessages(
  account: LockedAccount,
  mailboxId: MailboxId,
  uids: UidSet | null,
): Promise<Decision<UidSet>> {
  const mailbox = await mailboxOf(account, mailboxId);
  const { pages, uids: deleted, unseen } = await choose(account, mailbox, uids ?? everyUid, flagBits.deleted);
  if (deleted.length === 0) return { value: [], writes: null };
  const set = uidSetOf(deleted);
  const sizeBytes = await deleteRows(account, mailboxId, set);
  const after = pages.map((page) => removeFromPage(page, set, account.modSeq));
  const writes: Writes = {
    usedBytes: -sizeBytes,
    messages: -deleted.length,
    mailboxes: [{ id: mailboxId, messages: -deleted.length, unseen: -unseen, sizeBytes: -sizeBytes }],
    pages: after.filter((page, i) => page !== pages[i]).map((page) => ({ mailboxId, page })),
    log: [{ mailboxId, kind: 'removed', uids: formatUidSet(set) }],
  };
  return { value: set, writes };
}

/** Those of the set that are there and have all of `flags`. */
async function choose(
  { tx, accountId }: LockedAccount,
  mailbox: Mailbox,
  set: UidSet,
  flags: FlagBits = 0,
): Promise<Chosen> {
  const pages = await readPages(tx, accountId, mailbox.id, set);
  const uids: Uid[] = [];
  const messages: { flags: FlagBits; keywordBits: readonly number[] }[] = [];
  let unseen = 0;
  for (const page of pages) {
    forEachUidIn(page, set, (uid) => {
      const has = flagsOf(page, uid);
      if ((has & flags) !== flags) return;
      uids.push(uid);
      messages.push({ flags: has, keywordBits: keywordBitsOf(page, uid) });
      if ((has & flagBits.seen) === 0) unseen++;
    });
  }
  return { uids, pages, messages, unseen };
}

/** The target's pages with the messages added, by number. Their keywords get the target's bits. */
async function addPages(
  account: LockedAccount,
  source: Mailbox,
  target: Mailbox,
  chosen: Chosen,
): Promise<ReadonlyMap<number, MailboxPage>> {
  const first = target.uidNext;
  if (first + chosen.uids.length > maxUid) {
    throw new MailError({ kind: 'limit', reason: 'the mailbox has used up its UIDs' });
  }
  const used = [...new Set(chosen.messages.flatMap(({ keywordBits }) => keywordBits))];
  const { table } = withKeywords(target.keywords, keywordNames(source.keywords, used));
  await growKeywords(account, target, table);
  const bitOf = new Map(
    used.map((bit) => [bit, withKeywords(table, keywordNames(source.keywords, [bit])).bits[0] ?? 0]),
  );
  const messages = chosen.messages.map(({ flags, keywordBits }) => ({
    flags,
    keywordBits: keywordBits.map((bit) => bitOf.get(bit) ?? 0),
  }));
  const begun = await readPages(account.tx, account.accountId, target.id, [[first, first]]);
  const pages = new Map<number, MailboxPage>();
  for (const [from, to] of pagesOf(destinationOf(target, chosen))) {
    for (let number = from; number <= to; number++) {
      const page = begun.find((known) => known.page === number) ?? emptyPage(number);
      pages.set(number, addToPage(page, { first, modSeq: account.modSeq, messages }));
    }
  }
  return pages;
}

function destinationOf(target: Mailbox, chosen: Chosen): UidSet {
  return uidSet([[target.uidNext, target.uidNext + chosen.uids.length - 1]]);
}

function copied(target: Mailbox, chosen: Chosen): Copied {
  return { uidValidity: target.uidValidity, source: uidSetOf(chosen.uids), destination: destinationOf(target, chosen) };
}

function nothingCopied(target: Mailbox): Decision<Copied> {
  return { value: { uidValidity: target.uidValidity, source: [], destination: [] }, writes: null };
}

/** COPY, MOVE and EXPUNGE, worked out on pages. */
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
import type { Before, MessageChange, MessageDecision, MessageWrites } from './pg-message-change.ts';
import { everyUid } from './pg-rows.ts';

const maxUid = 0xffff_ffff;

type Chosen = {
  readonly uids: readonly Uid[];
  readonly messages: readonly { readonly flags: FlagBits; readonly keywordBits: readonly number[] }[];
  readonly unseen: number;
};

/** COPY: refuses over-quota. */
export function copyMessages(from: MailboxId, uids: UidSet, to: MailboxId): MessageChange<Copied> {
  return { from, to, uids, adds: true, isRepeatable: false, decide: (before) => decideCopy(before, uids) };
}

function decideCopy(before: Before, uids: UidSet): MessageDecision<Copied> {
  const { target } = before;
  const chosen = choose(before.pages, uids);
  if (chosen.uids.length === 0) return nothingCopied(target);
  const { pages, keywords } = addPages(before, chosen);
  const writes: MessageWrites = {
    rows: { kind: 'copy', uids: uidSetOf(chosen.uids) },
    keywords,
    mailboxes: [
      { id: target.id, uids: chosen.uids.length, messages: chosen.uids.length, unseen: chosen.unseen, bytes: 1 },
    ],
    pages: [...pages.values()].map((page) => ({ mailboxId: target.id, page })),
    log: [{ mailboxId: target.id, kind: 'added', uids: formatUidSet(destinationOf(target, chosen)) }],
  };
  return { value: copied(target, chosen), writes };
}

/** MOVE: within one mailbox the messages get new UIDs (RFC 6851 section 3.3). */
export function moveMessages(from: MailboxId, uids: UidSet, to: MailboxId): MessageChange<Copied> {
  return { from, to, uids, adds: true, isRepeatable: false, decide: (before) => decideMove(before, uids) };
}

function decideMove(before: Before, uids: UidSet): MessageDecision<Copied> {
  const { source, target, modSeq } = before;
  const isWithin = source.id === target.id;
  const chosen = choose(before.pages, uids);
  if (chosen.uids.length === 0) return nothingCopied(target);
  const set = uidSetOf(chosen.uids);
  const { pages: added, keywords } = addPages(before, chosen);
  const removed = before.pages.map((page) => removeFromPage((isWithin && added.get(page.page)) || page, set, modSeq));
  const kept = [...added.values()].filter(({ page }) => !isWithin || !removed.some((other) => other.page === page));
  const messages = chosen.uids.length;
  const { unseen } = chosen;
  const writes: MessageWrites = {
    rows: { kind: 'move', uids: set },
    keywords,
    mailboxes: isWithin
      ? [{ id: target.id, uids: messages }]
      : [
          { id: source.id, messages: -messages, unseen: -unseen, bytes: -1 },
          { id: target.id, uids: messages, messages, unseen, bytes: 1 },
        ],
    pages: [
      ...removed.map((page) => ({ mailboxId: source.id, page })),
      ...kept.map((page) => ({ mailboxId: target.id, page })),
    ],
    log: [
      { mailboxId: source.id, kind: 'removed', uids: formatUidSet(set) },
      { mailboxId: target.id, kind: 'added', uids: formatUidSet(destinationOf(target, chosen)) },
    ],
  };
  return { value: copied(target, chosen), writes };
}

/** EXPUNGE: the messages with \Deleted; null: of the whole mailbox. */
export function expungeMessages(mailboxId: MailboxId, uids: UidSet | null): MessageChange<UidSet> {
  const set = uids ?? everyUid;
  return {
    from: mailboxId,
    to: mailboxId,
    uids: set,
    adds: false,
    isRepeatable: false,
    decide: (before) => decideExpunge(before, set),
  };
}

function decideExpunge({ source, pages, modSeq }: Before, uids: UidSet): MessageDecision<UidSet> {
  const { uids: deleted, unseen } = choose(pages, uids, flagBits.deleted);
  if (deleted.length === 0) return { value: [], writes: null };
  const set = uidSetOf(deleted);
  const after = pages.map((page) => removeFromPage(page, set, modSeq));
  const writes: MessageWrites = {
    rows: { kind: 'expunge', uids: set },
    keywords: null,
    mailboxes: [{ id: source.id, messages: -deleted.length, unseen: -unseen, bytes: -1 }],
    pages: after.filter((page, i) => page !== pages[i]).map((page) => ({ mailboxId: source.id, page })),
    log: [{ mailboxId: source.id, kind: 'removed', uids: formatUidSet(set) }],
  };
  return { value: set, writes };
}

/** Those of the set that are there and have all of `flags`. */
function choose(pages: readonly MailboxPage[], set: UidSet, flags: FlagBits = 0): Chosen {
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
  return { uids, messages, unseen };
}

/** The target's pages with the messages added, by number. Their keywords get the target's bits; its table, where it grew. */
function addPages(
  { source, target, modSeq, lastPage }: Before,
  chosen: Chosen,
): { readonly pages: ReadonlyMap<number, MailboxPage>; readonly keywords: readonly string[] | null } {
  const first = target.uidNext;
  if (first + chosen.uids.length > maxUid) {
    throw new MailError({ kind: 'limit', reason: 'the mailbox has used up its UIDs' });
  }
  const used = [...new Set(chosen.messages.flatMap(({ keywordBits }) => keywordBits))];
  const { table } = withKeywords(target.keywords, keywordNames(source.keywords, used));
  const bitOf = new Map(
    used.map((bit) => [bit, withKeywords(table, keywordNames(source.keywords, [bit])).bits[0] ?? 0]),
  );
  const messages = chosen.messages.map(({ flags, keywordBits }) => ({
    flags,
    keywordBits: keywordBits.map((bit) => bitOf.get(bit) ?? 0),
  }));
  const pages = new Map<number, MailboxPage>();
  for (const [from, to] of pagesOf(destinationOf(target, chosen))) {
    for (let number = from; number <= to; number++) {
      const page = lastPage?.page === number ? lastPage : emptyPage(number);
      pages.set(number, addToPage(page, { first, modSeq, messages }));
    }
  }
  return { pages, keywords: table === target.keywords ? null : table };
}

function destinationOf(target: Mailbox, chosen: Chosen): UidSet {
  return uidSet([[target.uidNext, target.uidNext + chosen.uids.length - 1]]);
}

function copied(target: Mailbox, chosen: Chosen): Copied {
  return { uidValidity: target.uidValidity, source: uidSetOf(chosen.uids), destination: destinationOf(target, chosen) };
}

function nothingCopied(target: Mailbox): MessageDecision<Copied> {
  return { value: { uidValidity: target.uidValidity, source: [], destination: [] }, writes: null };
}

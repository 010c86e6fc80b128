import type { MailboxId, EmailId, ModSeq, Uid } from '#shared/base/ids.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { FlagBits, FlagChange } from '#server/mail/flags.ts';
import { keywordNames, knownKeywordBits, withKeywords } from '#server/mail/keyword-table.ts';
import type { Mailbox, SpecialUse } from '#server/mail/mailbox.ts';
import { addToPage, changePageFlags, removeFromPage } from '#server/mail/mailbox-page-change.ts';
import {
  countPage,
  emptyPage,
  flagsOf,
  forEachUid,
  forEachUidIn,
  keywordBitsOf,
  modSeqOf,
  pageNumberOf,
  pagesOf,
  type MailboxPage,
} from '#server/mail/mailbox-page.ts';
import type { MailboxState } from '#server/mail/ports.ts';
import { uidSet, uidSetOf, type UidSet } from '#server/mail/uid-set.ts';
import type { Part } from '#server/mime/part.ts';

/** What is stored of one message of one account, whatever mailboxes it lies in. */
export type MemoryEmail = {
  readonly id: EmailId;
  readonly prefix: Buffer;
  readonly raw: Buffer;
  readonly envelope: string;
  readonly bodystructure: string;
  readonly root: Part;
  readonly sentDay: string | null;
};

export type MemoryMessage = { readonly email: MemoryEmail; readonly internalDate: Date };

export type NewMessage = MemoryMessage & { readonly flags: FlagBits; readonly keywords: readonly string[] };

export type MessageState = {
  readonly flags: FlagBits;
  readonly keywords: readonly string[];
  readonly modSeq: ModSeq;
};

const maxUid = 0xffff_ffff;

export function sizeOf({ email }: MemoryMessage): number {
  return email.prefix.length + email.raw.length;
}

/** One mailbox of the store in memory. Its methods either refuse and change nothing, or do all they are asked. */
export class MemoryMailbox {
  readonly id: MailboxId;
  readonly specialUse: SpecialUse | null;
  name: string;
  uidValidity: number;
  recentFrom = 1 as Uid;
  readonly #messages = new Map<Uid, MemoryMessage>();
  readonly #pages = new Map<number, MailboxPage>();
  #keywords: readonly string[] = [];
  #uidNext = 1;
  #highestModSeq: ModSeq;

  constructor(init: {
    id: MailboxId;
    name: string;
    specialUse: SpecialUse | null;
    uidValidity: number;
    modSeq: ModSeq;
  }) {
    this.id = init.id;
    this.name = init.name;
    this.specialUse = init.specialUse;
    this.uidValidity = init.uidValidity;
    this.#highestModSeq = init.modSeq;
  }

  header(): Mailbox {
    const counts = [...this.#pages.values()].map(countPage);
    return {
      id: this.id,
      name: this.name,
      specialUse: this.specialUse,
      uidValidity: this.uidValidity,
      uidNext: this.#uidNext as Uid,
      highestModSeq: this.#highestModSeq,
      messages: counts.reduce((sum, { messages }) => sum + messages, 0),
      unseen: counts.reduce((sum, { unseen }) => sum + unseen, 0),
      sizeBytes: this.sizeBytes(),
      recentFrom: this.recentFrom,
      keywords: this.#keywords,
    };
  }

  state(wanted: (page: MailboxPage) => boolean): MailboxState {
    const pages = [...this.#pages.values()].filter(wanted).sort((a, b) => a.page - b.page);
    return { mailbox: this.header(), pages };
  }

  sizeBytes(): number {
    let bytes = 0;
    for (const message of this.#messages.values()) bytes += sizeOf(message);
    return bytes;
  }

  /** Those of the set that are there, ascending; null: all. */
  uids(set: UidSet | null): readonly Uid[] {
    const uids: Uid[] = [];
    for (const page of this.#pagesIn(set)) {
      if (set) forEachUidIn(page, set, (uid) => uids.push(uid));
      else forEachUid(page, (uid) => uids.push(uid));
    }
    return uids;
  }

  /** Null: it is not there. */
  message(uid: Uid): MemoryMessage | null {
    return this.#messages.get(uid) ?? null;
  }

  /** Only for messages that are there. */
  messageState(uid: Uid): MessageState {
    const page = this.#page(pageNumberOf(uid));
    return {
      flags: flagsOf(page, uid),
      keywords: keywordNames(this.#keywords, keywordBitsOf(page, uid)),
      modSeq: modSeqOf(page, uid),
    };
  }

  /** Throws what `add` would. */
  checkRoomFor(messages: readonly NewMessage[]): void {
    withKeywords(
      this.#keywords,
      messages.flatMap(({ keywords }) => keywords),
    );
    if (this.#uidNext + messages.length > maxUid) {
      throw new MailError({ kind: 'limit', reason: 'the mailbox has used up its UIDs' });
    }
  }

  add(messages: readonly NewMessage[], modSeq: ModSeq): UidSet {
    if (messages.length === 0) return [];
    this.checkRoomFor(messages);
    const first = this.#uidNext;
    const rows = messages.map(({ flags, keywords, email, internalDate }, i) => {
      const { table, bits } = withKeywords(this.#keywords, keywords);
      this.#keywords = table;
      this.#messages.set((first + i) as Uid, { email, internalDate });
      return { flags, keywordBits: bits };
    });
    this.#uidNext += messages.length;
    const added = uidSet([[first, this.#uidNext - 1]]);
    for (const [from, to] of pagesOf(added)) {
      for (let n = from; n <= to; n++) {
        this.#put(addToPage(this.#page(n), { first, modSeq, messages: rows }), modSeq);
      }
    }
    return added;
  }

  changeFlags(set: UidSet, { mode, flags, keywords }: FlagChange, modSeq: ModSeq): void {
    const { table, bits } =
      mode === 'remove'
        ? { table: this.#keywords, bits: knownKeywordBits(this.#keywords, keywords) }
        : withKeywords(this.#keywords, keywords);
    for (const page of this.#pagesIn(set)) {
      const after = changePageFlags(page, set, { mode, flags, keywordBits: bits }, modSeq);
      if (after !== page) this.#keywords = table;
      this.#put(after, modSeq);
    }
  }

  remove(uids: readonly Uid[], modSeq: ModSeq): void {
    const set = uidSetOf(uids);
    for (const page of this.#pagesIn(set)) this.#put(removeFromPage(page, set, modSeq), modSeq);
    for (const uid of uids) this.#messages.delete(uid);
  }

  #page(number: number): MailboxPage {
    return this.#pages.get(number) ?? emptyPage(number);
  }

  #put(page: MailboxPage, modSeq: ModSeq): void {
    if (this.#pages.get(page.page) === page) return;
    this.#pages.set(page.page, page);
    this.#highestModSeq = modSeq;
  }

  /** Pages that there are, ascending. */
  #pagesIn(set: UidSet | null): readonly MailboxPage[] {
    const pages = [...this.#pages.values()].sort((a, b) => a.page - b.page);
    if (set === null) return pages;
    const ranges = pagesOf(set);
    return pages.filter(({ page }) => ranges.some(([first, last]) => first <= page && page <= last));
  }
}

/**
 * What one session knows of its selected mailbox: sequence numbers, \Recent, and which changes it has been
 * told. Pure: states come from the store, changes go to the client; it reads neither clock nor socket.
 * Invariant: a sequence number changes only in `take`, so what the client was told stays true until then.
 */
import type { MailboxId, ModSeq, Uid } from '#shared/base/ids.ts';
import type { FlagBits } from '#server/mail/flags.ts';
import { keywordNames } from '#server/mail/keyword-table.ts';
import type { Mailbox } from '#server/mail/mailbox.ts';
import { flagsOf, forEachChangedUid, keywordBitsOf, modSeqOf, type MailboxPage } from '#server/mail/mailbox-page.ts';
import { isPresent, slotRanges, uidsPerPage } from '#server/mail/mailbox-page-columns.ts';
import type { FlagsStored, MailboxState, OpenedMailbox } from '#server/mail/ports.ts';
import type { Presence } from '#server/mail/presence.ts';
import { uidSet, uidSetHas, type UidSet } from '#server/mail/uid-set.ts';

/** All flags of one message, for a FETCH response. */
export type MessageFlags = {
  readonly seq: number;
  readonly uid: Uid;
  readonly flags: FlagBits;
  readonly keywords: readonly string[];
  readonly isRecent: boolean;
};

/** Untagged responses that are due, in the order in which they have to be sent. */
export type ViewChanges = {
  /** Each number holds after the EXPUNGEs before it were taken into account: they descend. */
  readonly expunged: readonly number[];
  /** Messages now, where new ones came (RFC 3501 section 7.3.1); else null. */
  readonly exists: number | null;
  readonly recent: number;
  /** All keywords, where there are new ones; else null. */
  readonly keywords: readonly string[] | null;
  readonly flags: readonly MessageFlags[];
};

export type SequenceRanges = readonly (readonly [first: number | '*', last: number | '*'])[];

/** The client knows of changes to these messages, but for some of them, whose modseq lies between two. */
type Told = {
  readonly uids: UidSet;
  readonly except: ReadonlySet<number>;
  readonly from: number;
  readonly through: number;
};

type Flags = { readonly flags: FlagBits; readonly keywords: readonly string[] };

export class MailboxView {
  readonly mailboxId: MailboxId;
  readonly name: string;
  readonly isReadOnly: boolean;
  readonly #presence: Presence;
  /** Gone from the mailbox, but the client hasn't been told. */
  readonly #gone = new Set<number>();
  /** Flags that others changed and the client hasn't been told. */
  readonly #changed = new Map<number, Flags>();
  /** What the client was told in answers to its own commands: those changes aren't news to it. */
  #told: Told[] = [];
  #recent: UidSet = [];
  #modSeq: ModSeq;
  #uidNext: Uid;
  #keywords: readonly string[];
  #existsTold: number;
  #keywordsTold: readonly string[];

  /** What is in `state` counts as told. */
  constructor(state: Pick<OpenedMailbox, 'mailbox' | 'presence'>, isReadOnly: boolean) {
    this.mailboxId = state.mailbox.id;
    this.name = state.mailbox.name;
    this.isReadOnly = isReadOnly;
    this.#modSeq = state.mailbox.highestModSeq;
    this.#uidNext = state.mailbox.uidNext;
    this.#keywords = state.mailbox.keywords;
    this.#presence = state.presence.copy();
    this.#existsTold = this.#presence.count;
    this.#keywordsTold = this.#keywords;
  }

  /** Messages that the client knows, those gone that it hasn't been told of included. */
  get exists(): number {
    return this.#presence.count;
  }

  get recentCount(): number {
    let count = 0;
    for (const [first, last] of this.#recent) {
      count += this.#presence.countBelow(last + 1) - this.#presence.countBelow(first);
    }
    return count;
  }

  /** The moment up to which the view is complete. */
  get modSeq(): ModSeq {
    return this.#modSeq;
  }

  get uidNext(): Uid {
    return this.#uidNext;
  }

  get keywords(): readonly string[] {
    return this.#keywords;
  }

  get hasGone(): boolean {
    return this.#gone.size > 0;
  }

  /** UIDs from `from` up to the view's UIDNEXT are \Recent in this session (RFC 3501 section 2.3.2). */
  addRecent(from: number): void {
    if (from < this.#uidNext) this.#recent = uidSet([...this.#recent, [from, this.#uidNext - 1]]);
  }

  isRecent(uid: number): boolean {
    return uidSetHas(this.#recent, uid);
  }

  get recent(): UidSet {
    return this.#recent;
  }

  /** Whether the client knows such a message. */
  has(uid: number): boolean {
    return this.#presence.has(uid);
  }

  /** 0: the client doesn't know such a message. */
  seqOf(uid: number): number {
    return this.#presence.seqOf(uid);
  }

  /** The messages' UIDs as ranges, in which UIDs may lie that no longer exist; null: the client doesn't have such a number. */
  uidsOfSequence(set: SequenceRanges): UidSet | null {
    const count = this.#presence.count;
    const ranges: [number, number][] = [];
    for (const [first, last] of set) {
      const a = first === '*' ? count : first;
      const b = last === '*' ? count : last;
      // RFC 3501 section 9, "seq-number": '*' too is wrong in an empty mailbox.
      if (a < 1 || a > count || b < 1 || b > count) return null;
      ranges.push([this.#presence.uidAt(a), this.#presence.uidAt(b)]);
    }
    return uidSet(ranges);
  }

  /** As the client wrote them, without what it can't know yet. */
  uidsOfUids(set: SequenceRanges): UidSet {
    const highest = this.#presence.highestUid;
    if (highest === 0) return [];
    const ranges: [number, number][] = [];
    for (const [first, last] of set) {
      // RFC 3501 section 6.4.8: a range with '*' always has the last message in it.
      const a = first === '*' ? highest : first;
      const b = last === '*' ? highest : last;
      const from = Math.min(a, b);
      if (from <= highest) ranges.push([from, Math.min(Math.max(a, b), highest)]);
    }
    return uidSet(ranges);
  }

  /** How many messages of the set the client knows. */
  countIn(set: UidSet): number {
    let count = 0;
    for (const [first, last] of set) {
      count += this.#presence.countBelow(last + 1) - this.#presence.countBelow(first);
    }
    return count;
  }

  /** The client is told all flags of these messages, as of this moment. */
  markTold(uids: UidSet, through: ModSeq): void {
    this.#told.push({ uids, except: new Set(), from: 0, through });
    for (const uid of this.#changed.keys()) if (uidSetHas(uids, uid)) this.#changed.delete(uid);
  }

  /**
   * The client changed flags of these messages and asked for no answer, which it can do without where it knew the
   * flags before. False: of some it did not, so they have to be read again and told.
   */
  markSilent(uids: UidSet, through: ModSeq): boolean {
    const except = new Set([...this.#changed.keys()].filter((uid) => uidSetHas(uids, uid)));
    // Only the change itself: what others did just before it is news.
    this.#told.push({ uids, except, from: through, through });
    return except.size === 0;
  }

  /**
   * Notes what a change of flags came to, which the view can do only where it knew the mailbox before: false.
   * The client's own change must be marked before.
   */
  noteStored(stored: FlagsStored): boolean {
    if (stored.before !== this.#modSeq) return false;
    this.update(stored);
    return true;
  }

  /** Notes a later state: the header, and at least those pages that changed after `modSeq`. */
  update(state: MailboxState): void {
    const { mailbox } = state;
    for (const page of state.pages) this.#updatePage(page, mailbox);
    for (const uid of this.#gone) this.#changed.delete(uid);
    this.#presence.recount();
    this.#modSeq = mailbox.highestModSeq;
    this.#uidNext = mailbox.uidNext;
    this.#keywords = mailbox.keywords;
    this.#told = this.#told.filter(({ through }) => through > mailbox.highestModSeq);
  }

  /** All flags of the message in a page that is newer than what the client knows; null: the client doesn't know it. */
  flagsIn(page: MailboxPage, mailbox: Mailbox, uid: Uid): MessageFlags | null {
    const seq = this.seqOf(uid);
    if (seq === 0) return null;
    return { seq, uid, ...allFlags(page, mailbox, uid), isRecent: this.isRecent(uid) };
  }

  /** As `flagsIn`, of those messages of the set that are there and that the client knows, ascending. */
  allFlagsIn(page: MailboxPage, mailbox: Mailbox, set: UidSet): readonly MessageFlags[] {
    const known = this.#presence.pageBits(page.page);
    const messages: MessageFlags[] = [];
    if (known === null) return messages;
    const start = page.page * uidsPerPage;
    for (const [first, last] of slotRanges(set, page.page)) {
      let seq = this.#presence.countBelow(start + first);
      for (let slot = first; slot <= last; slot++) {
        if (!hasBit(known, slot)) continue;
        seq += 1;
        if (!isPresent(page.present, slot)) continue;
        const uid = (start + slot) as Uid;
        messages.push({ seq, uid, ...allFlags(page, mailbox, uid), isRecent: this.isRecent(uid) });
      }
    }
    return messages;
  }

  /**
   * What the client has to be told, which from now on counts as told. EXPUNGE waits while `mayExpunge` is false
   * (RFC 3501 section 7.4.1).
   */
  take({ mayExpunge }: { readonly mayExpunge: boolean }): ViewChanges {
    const told = this.#existsTold;
    // Messages that came and went between two calls were never known to the client.
    const expunged = mayExpunge ? this.#takeGone().filter((seq) => seq <= told) : [];
    this.#existsTold -= expunged.length;
    const exists = this.#presence.count === this.#existsTold ? null : this.#presence.count;
    this.#existsTold = this.#presence.count;
    const keywords = this.#keywords.length === this.#keywordsTold.length ? null : this.#keywords;
    this.#keywordsTold = this.#keywords;
    const flags: MessageFlags[] = [];
    for (const [uid, { flags: bits, keywords: names }] of this.#changed) {
      const seq = this.seqOf(uid);
      flags.push({ seq, uid: uid as Uid, flags: bits, keywords: names, isRecent: this.isRecent(uid) });
    }
    this.#changed.clear();
    return { expunged, exists, recent: this.recentCount, keywords, flags };
  }

  #takeGone(): readonly number[] {
    // From the highest down: no number is moved by those sent before it.
    const seqs = [...this.#gone].sort((a, b) => b - a).map((uid) => this.seqOf(uid));
    for (const uid of this.#gone) this.#presence.remove(uid);
    this.#gone.clear();
    this.#presence.recount();
    return seqs;
  }

  #updatePage(page: MailboxPage, mailbox: Mailbox): void {
    const start = page.page * uidsPerPage;
    const known = this.#presence.pageBits(page.page);
    if (known !== null && !this.#wasAllTold(page)) {
      forEachChangedUid(page, this.#modSeq, (uid) => {
        if (!hasBit(known, uid & 255) || this.#wasTold(uid, modSeqOf(page, uid))) return;
        this.#changed.set(uid, allFlags(page, mailbox, uid));
      });
    }
    const next = known === null ? new Uint8Array(uidsPerPage / 8) : Uint8Array.from(known);
    for (let byte = 0; byte < next.length; byte++) {
      const before = next[byte] ?? 0;
      const now = page.present[byte] ?? 0;
      if (before === now) continue;
      for (let bit = 0; bit < 8; bit++) {
        const mask = 1 << bit;
        const uid = start + byte * 8 + bit;
        if ((before & ~now & mask) !== 0) this.#gone.add(uid);
        // RFC 3501 section 2.3.1.1: UIDs only grow, so a new message is always the last.
        else if ((now & ~before & mask) !== 0 && uid >= this.#uidNext) next[byte] = (next[byte] ?? 0) | mask;
      }
    }
    this.#presence.setPageBits(page.page, next);
  }

  /** Of every message that the page has room for: what a look at each would come to. */
  #wasAllTold(page: MailboxPage): boolean {
    const start = page.page * uidsPerPage;
    return this.#told.some(
      ({ uids, except, from, through }) =>
        from <= this.#modSeq &&
        page.maxModSeq <= through &&
        except.size === 0 &&
        uids.some(([first, last]) => first <= Math.max(start, 1) && start + uidsPerPage - 1 <= last),
    );
  }

  #wasTold(uid: number, modSeq: number): boolean {
    return this.#told.some(
      ({ uids, except, from, through }) =>
        from <= modSeq && modSeq <= through && uidSetHas(uids, uid) && !except.has(uid),
    );
  }
}

function hasBit(bits: Uint8Array, slot: number): boolean {
  return (((bits[slot >> 3] ?? 0) >> (slot & 7)) & 1) === 1;
}

const noKeywords: readonly string[] = [];

function allFlags(page: MailboxPage, mailbox: Mailbox, uid: Uid): Flags {
  const bits = keywordBitsOf(page, uid);
  return {
    flags: flagsOf(page, uid),
    keywords: bits.length === 0 ? noKeywords : keywordNames(mailbox.keywords, bits),
  };
}

/** Changes of a MailboxPage. Each returns a new page, or the same one where nothing became different. */
import type { FlagBits, FlagChange } from './flags.ts';
import {
  flagsAt,
  hasKeywordAt,
  isPresent,
  keywordWidth,
  offsetAt,
  setFlagsAt,
  setOffset,
  slotRanges,
  uidsPerPage,
} from './mailbox-page-columns.ts';
import type { MailboxPage } from './mailbox-page.ts';
import type { UidSet } from './uid-set.ts';

/** A change of flags with its keywords turned into bit numbers. */
export type PageFlagChange = Pick<FlagChange, 'mode' | 'flags'> & { readonly keywordBits: readonly number[] };

/** Messages that get the UIDs from `first` on, all at one modseq. */
export type PageAddition = {
  readonly first: number;
  readonly modSeq: number;
  readonly messages: readonly { readonly flags: FlagBits; readonly keywordBits: readonly number[] }[];
};

const maxOffset = 0xffff_ffff;

/** Adds those of the messages whose UIDs lie in the page. Error: a UID that is or was in use. */
export function addToPage(page: MailboxPage, { first, modSeq, messages }: PageAddition): MailboxPage {
  const start = page.page * uidsPerPage;
  const from = Math.max(first, start);
  const to = Math.min(first + messages.length, start + uidsPerPage);
  if (from >= to) return page;
  const draft = new Draft(page, modSeq);
  for (let uid = from; uid < to; uid++) {
    const message = messages[uid - first];
    if (message) draft.add(uid - start, message.flags, message.keywordBits);
  }
  return draft.finish();
}

/**
 * Changes flags and keywords of the set's messages. Only a message that becomes different gets the modseq;
 * where none does the same page comes back.
 */
export function changePageFlags(page: MailboxPage, set: UidSet, change: PageFlagChange, modSeq: number): MailboxPage {
  const draft = new Draft(page, modSeq);
  for (const [first, last] of slotRanges(set, page.page)) {
    for (let slot = first; slot <= last; slot++) if (isPresent(page.present, slot)) draft.change(slot, change);
  }
  return draft.finish();
}

/** Removes the set's messages; where there is none the same page comes back. */
export function removeFromPage(page: MailboxPage, set: UidSet, modSeq: number): MailboxPage {
  const draft = new Draft(page, modSeq);
  for (const [first, last] of slotRanges(set, page.page)) {
    for (let slot = first; slot <= last; slot++) if (isPresent(page.present, slot)) draft.remove(slot);
  }
  return draft.finish();
}

/** A page while it is changed: its columns are copied at the first real change. */
class Draft {
  readonly #page: MailboxPage;
  readonly #modSeq: number;
  #isDirty = false;
  #present: Uint8Array;
  #flags: Uint8Array;
  #modSeqs: Uint8Array;
  #keywords: Uint8Array | null;
  #base: number;

  constructor(page: MailboxPage, modSeq: number) {
    this.#page = page;
    this.#modSeq = modSeq;
    this.#present = page.present;
    this.#flags = page.flags;
    this.#modSeqs = page.modSeqs;
    this.#keywords = page.keywords;
    this.#base = page.baseModSeq;
  }

  add(slot: number, flags: FlagBits, keywordBits: readonly number[]): void {
    if (offsetAt(this.#modSeqs, slot) !== 0) {
      throw new Error(`UID ${this.#page.page * uidsPerPage + slot} is already in use`);
    }
    this.#touch(slot);
    this.#present[slot >> 3] = (this.#present[slot >> 3] ?? 0) | (1 << (slot & 7));
    setFlagsAt(this.#flags, slot, flags);
    for (const bit of keywordBits) this.#setKeyword(slot, bit);
  }

  remove(slot: number): void {
    this.#touch(slot);
    this.#present[slot >> 3] = (this.#present[slot >> 3] ?? 0) & ~(1 << (slot & 7));
    setFlagsAt(this.#flags, slot, 0);
    this.#clearKeywords(slot, null);
  }

  change(slot: number, { mode, flags, keywordBits }: PageFlagChange): void {
    const before = flagsAt(this.#flags, slot);
    const after = mode === 'add' ? before | flags : mode === 'remove' ? before & ~flags : flags;
    if (after === before && !this.#changesKeywords(slot, mode, keywordBits)) return;
    this.#touch(slot);
    setFlagsAt(this.#flags, slot, after);
    if (mode === 'replace') this.#clearKeywords(slot, null);
    if (mode === 'remove') this.#clearKeywords(slot, keywordBits);
    else for (const bit of keywordBits) this.#setKeyword(slot, bit);
  }

  finish(): MailboxPage {
    if (!this.#isDirty) return this.#page;
    return {
      page: this.#page.page,
      present: this.#present,
      flags: this.#flags,
      modSeqs: this.#modSeqs,
      keywords: this.#keywords?.some((byte) => byte !== 0) ? this.#keywords : null,
      baseModSeq: this.#base,
      maxModSeq: Math.max(this.#page.maxModSeq, this.#modSeq),
    };
  }

  #touch(slot: number): void {
    if (!this.#isDirty) this.#copy();
    setOffset(this.#modSeqs, slot, this.#modSeq - this.#base);
  }

  #copy(): void {
    this.#isDirty = true;
    // Uint8Array.from, not slice: the columns may be Buffers, whose slice shares memory.
    this.#present = Uint8Array.from(this.#present);
    this.#flags = Uint8Array.from(this.#flags);
    this.#modSeqs = Uint8Array.from(this.#modSeqs);
    this.#keywords = this.#keywords && Uint8Array.from(this.#keywords);
    if (this.#page.maxModSeq === 0) this.#base = this.#modSeq - 1;
    else if (this.#modSeq - this.#base > maxOffset) this.#rebase(this.#modSeq - 0x8000_0000);
    if (this.#modSeq <= this.#base) throw new Error(`modseq ${this.#modSeq} is not above ${this.#base}`);
  }

  /** Changes older than the new base look newer than they were: a client fetches them once more. */
  #rebase(base: number): void {
    for (let slot = 0; slot < uidsPerPage; slot++) {
      const offset = offsetAt(this.#modSeqs, slot);
      if (offset !== 0) setOffset(this.#modSeqs, slot, Math.max(1, this.#base + offset - base));
    }
    this.#base = base;
  }

  #changesKeywords(slot: number, mode: FlagChange['mode'], keywordBits: readonly number[]): boolean {
    if (keywordBits.some((bit) => hasKeywordAt(this.#keywords, slot, bit) === (mode === 'remove'))) return true;
    if (mode !== 'replace' || this.#keywords === null) return false;
    const width = keywordWidth(this.#keywords);
    for (let bit = 0; bit < width * 8; bit++) {
      if (hasKeywordAt(this.#keywords, slot, bit) && !keywordBits.includes(bit)) return true;
    }
    return false;
  }

  #setKeyword(slot: number, bit: number): void {
    const width = this.#widen((bit >> 3) + 1);
    const at = slot * width + (bit >> 3);
    if (this.#keywords) this.#keywords[at] = (this.#keywords[at] ?? 0) | (1 << (bit & 7));
  }

  /** Null: all of them. */
  #clearKeywords(slot: number, keywordBits: readonly number[] | null): void {
    if (this.#keywords === null) return;
    const width = keywordWidth(this.#keywords);
    if (keywordBits === null) this.#keywords.fill(0, slot * width, (slot + 1) * width);
    for (const bit of keywordBits ?? []) {
      if (bit >> 3 >= width) continue;
      const at = slot * width + (bit >> 3);
      this.#keywords[at] = (this.#keywords[at] ?? 0) & ~(1 << (bit & 7));
    }
  }

  #widen(bytes: number): number {
    const old = this.#keywords;
    const oldWidth = old ? keywordWidth(old) : 0;
    if (oldWidth >= bytes) return oldWidth;
    const wide = new Uint8Array(uidsPerPage * bytes);
    if (old) {
      for (let slot = 0; slot < uidsPerPage; slot++) {
        wide.set(old.subarray(slot * oldWidth, (slot + 1) * oldWidth), slot * bytes);
      }
    }
    this.#keywords = wide;
    return bytes;
  }
}

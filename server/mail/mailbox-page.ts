/**
 * The state of 256 neighbouring UIDs of a mailbox in one row: which are there, their flags, keywords and
 * modseqs. Pure. Changes (mailbox-page-change.ts) return a new page and leave the old one as it was, so that
 * a session may keep it. Keywords are bit numbers here, places in the mailbox's keyword table (keyword-table.ts).
 *
 * A slot whose offset is 0 never held a message. A slot that is not present but has an offset held one
 * that was removed at that modseq (RFC 7162 section 3.2.5.1, VANISHED).
 */
import type { ModSeq, Uid } from '#shared/base/ids.ts';
import { flagBits, type FlagBits } from './flags.ts';
import {
  flagsAt,
  hasKeywordAt,
  isPresent,
  keywordWidth,
  offsetAt,
  slotRanges,
  uidsPerPage,
} from './mailbox-page-columns.ts';
import type { UidSet } from './uid-set.ts';

/** 256 UIDs' presence, flags, modseqs and keywords in one row (page number = uid >>> 8). */
export type MailboxPage = {
  readonly page: number;
  /** 32 bytes: bit `slot & 7` of byte `slot >> 3` says that UID `page * 256 + slot` is there. */
  readonly present: Uint8Array;
  /** 512 bytes: two a UID, big-endian FlagBits. */
  readonly flags: Uint8Array;
  /** 1024 bytes: four a UID, big-endian offset from `baseModSeq`; 0: no message was ever here. */
  readonly modSeqs: Uint8Array;
  /** Null: no keyword is set in the page; else 256 entries of equal width, bit n of an entry (little-endian by byte) is keyword n. */
  readonly keywords: Uint8Array | null;
  /** Below every modseq of the page. */
  readonly baseModSeq: number;
  /** The highest modseq in the page, expunges included. */
  readonly maxModSeq: number;
};

export function pageNumberOf(uid: number): number {
  return uid >>> 8;
}

const noBits: readonly number[] = [];

export function emptyPage(page: number): MailboxPage {
  return {
    page,
    present: new Uint8Array(uidsPerPage / 8),
    flags: new Uint8Array(uidsPerPage * 2),
    modSeqs: new Uint8Array(uidsPerPage * 4),
    keywords: null,
    baseModSeq: 0,
    maxModSeq: 0,
  };
}

/**
 * The numbers of the pages that may hold UIDs of the set, as ascending ranges (both ends included) that don't
 * touch. Ranges, because a client may write 1:4294967295.
 */
export function pagesOf(set: UidSet): readonly (readonly [first: number, last: number])[] {
  const pages: [number, number][] = [];
  for (const [first, last] of set) {
    const previous = pages.at(-1);
    if (previous && pageNumberOf(first) <= previous[1] + 1) previous[1] = pageNumberOf(last);
    else pages.push([pageNumberOf(first), pageNumberOf(last)]);
  }
  return pages;
}

export function pageHas(page: MailboxPage, uid: number): boolean {
  return pageNumberOf(uid) === page.page && isPresent(page.present, uid & 255);
}

/** Only for UIDs of the page. */
export function flagsOf(page: MailboxPage, uid: number): FlagBits {
  return flagsAt(page.flags, uid & 255);
}

/** The modseq of the message, or of its removal where it is gone; 0: it never was there. Only for UIDs of the page. */
export function modSeqOf(page: MailboxPage, uid: number): ModSeq {
  const offset = offsetAt(page.modSeqs, uid & 255);
  return (offset === 0 ? 0 : page.baseModSeq + offset) as ModSeq;
}

/** Ascending bit numbers; often none, which allocates nothing. Only for UIDs of the page. */
export function keywordBitsOf(page: MailboxPage, uid: number): readonly number[] {
  if (page.keywords === null) return noBits;
  const width = keywordWidth(page.keywords);
  const bits: number[] = [];
  for (let byte = 0; byte < width; byte++) {
    const value = page.keywords[(uid & 255) * width + byte] ?? 0;
    for (let bit = 0; value >> bit !== 0; bit++) if (((value >> bit) & 1) === 1) bits.push(byte * 8 + bit);
  }
  return bits;
}

/** Only for UIDs of the page. */
export function hasKeywordBit(page: MailboxPage, uid: number, bit: number): boolean {
  return hasKeywordAt(page.keywords, uid & 255, bit);
}

/** Calls `visit` with each UID that is there, ascending. */
export function forEachUid(page: MailboxPage, visit: (uid: Uid) => void): void {
  const start = page.page * uidsPerPage;
  for (let byte = 0; byte < page.present.length; byte++) {
    const bits = page.present[byte] ?? 0;
    for (let bit = 0; bits >> bit !== 0; bit++) {
      if (((bits >> bit) & 1) === 1) visit((start + byte * 8 + bit) as Uid);
    }
  }
}

/** Calls `visit` with each UID of the set that is there, ascending. */
export function forEachUidIn(page: MailboxPage, set: UidSet, visit: (uid: Uid) => void): void {
  const start = page.page * uidsPerPage;
  for (const [first, last] of slotRanges(set, page.page)) {
    for (let slot = first; slot <= last; slot++) if (isPresent(page.present, slot)) visit((start + slot) as Uid);
  }
}

/** Calls `visit` with each UID that is there and was added or changed after `since`, ascending. */
export function forEachChangedUid(page: MailboxPage, since: number, visit: (uid: Uid) => void): void {
  if (page.maxModSeq <= since) return;
  forEachUid(page, (uid) => {
    if (modSeqOf(page, uid) > since) visit(uid);
  });
}

/** Calls `visit` with each UID that was removed after `since`, ascending. */
export function forEachVanishedUid(page: MailboxPage, since: number, visit: (uid: Uid) => void): void {
  if (page.maxModSeq <= since) return;
  const start = page.page * uidsPerPage;
  for (let slot = 0; slot < uidsPerPage; slot++) {
    if (!isPresent(page.present, slot) && modSeqOf(page, slot) > since) visit((start + slot) as Uid);
  }
}

/** The UIDs that are there in pages that ascend, ascending. */
export function uidsOfPages(pages: readonly MailboxPage[]): Uint32Array {
  let total = 0;
  for (const page of pages) total += countPage(page).messages;
  const uids = new Uint32Array(total);
  let at = 0;
  for (const page of pages) {
    forEachUid(page, (uid) => {
      uids[at++] = uid;
    });
  }
  return uids;
}

export function countPage(page: MailboxPage): { readonly messages: number; readonly unseen: number } {
  let messages = 0;
  let unseen = 0;
  for (let slot = 0; slot < uidsPerPage; slot++) {
    if (!isPresent(page.present, slot)) continue;
    messages++;
    if (((page.flags[slot * 2 + 1] ?? 0) & flagBits.seen) === 0) unseen++;
  }
  return { messages, unseen };
}

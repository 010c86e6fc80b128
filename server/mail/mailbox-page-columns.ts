/** Access to the columns of a MailboxPage, by slot (the UID's place in the page, 0 to 255). */
import type { FlagBits } from './flags.ts';
import type { UidRange, UidSet } from './uid-set.ts';

export const uidsPerPage = 256;

export function isPresent(present: Uint8Array, slot: number): boolean {
  return (((present[slot >> 3] ?? 0) >> (slot & 7)) & 1) === 1;
}

export function flagsAt(flags: Uint8Array, slot: number): FlagBits {
  return ((flags[slot * 2] ?? 0) << 8) | (flags[slot * 2 + 1] ?? 0);
}

export function setFlagsAt(flags: Uint8Array, slot: number, value: FlagBits): void {
  flags[slot * 2] = value >> 8;
  flags[slot * 2 + 1] = value;
}

export function offsetAt(modSeqs: Uint8Array, slot: number): number {
  const at = slot * 4;
  // Multiplied, not shifted: a shift by 24 would make the upper half of the range negative.
  return (
    (modSeqs[at] ?? 0) * 0x100_0000 +
    (((modSeqs[at + 1] ?? 0) << 16) | ((modSeqs[at + 2] ?? 0) << 8) | (modSeqs[at + 3] ?? 0))
  );
}

export function setOffset(modSeqs: Uint8Array, slot: number, offset: number): void {
  const at = slot * 4;
  modSeqs[at] = offset >>> 24;
  modSeqs[at + 1] = offset >>> 16;
  modSeqs[at + 2] = offset >>> 8;
  modSeqs[at + 3] = offset;
}

/** Bytes of one entry. */
export function keywordWidth(keywords: Uint8Array): number {
  return keywords.length / uidsPerPage;
}

export function hasKeywordAt(keywords: Uint8Array | null, slot: number, bit: number): boolean {
  if (keywords === null) return false;
  const width = keywordWidth(keywords);
  return bit >> 3 < width && (((keywords[slot * width + (bit >> 3)] ?? 0) >> (bit & 7)) & 1) === 1;
}

/** The set's slots in one page, as ranges with both ends included. */
export function slotRanges(set: UidSet, page: number): readonly (readonly [first: number, last: number])[] {
  const start = page * uidsPerPage;
  const end = start + uidsPerPage - 1;
  let low = 0;
  let high = set.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((set[middle] as UidRange)[1] < start) low = middle + 1;
    else high = middle;
  }
  const ranges: [number, number][] = [];
  for (let i = low; i < set.length; i++) {
    const [first, last] = set[i] as UidRange;
    if (first > end) break;
    ranges.push([Math.max(first, start) - start, Math.min(last, end) - start]);
  }
  return ranges;
}

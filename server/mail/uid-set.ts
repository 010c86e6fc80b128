import type { Uid } from '#shared/base/ids.ts';

/** Ascending, disjoint, not adjacent; both ends belong to the range. Made by `uidSet`. */
export type UidRange = readonly [first: Uid, last: Uid];
export type UidSet = readonly UidRange[];

/** Puts ranges in order and joins those that touch. Ends may come in either order. */
export function uidSet(ranges: Iterable<readonly [number, number]>): UidSet {
  const sorted = [...ranges].map(([a, b]): [number, number] => (a <= b ? [a, b] : [b, a])).sort((x, y) => x[0] - y[0]);
  const joined: [number, number][] = [];
  for (const [first, last] of sorted) {
    const previous = joined.at(-1);
    if (previous && first <= previous[1] + 1) previous[1] = Math.max(previous[1], last);
    else joined.push([first, last]);
  }
  return joined as unknown as UidSet;
}

/** The set of single UIDs, which may come in any order. */
export function uidSetOf(uids: Iterable<number>): UidSet {
  const sorted = Uint32Array.from(uids).sort();
  const joined: [number, number][] = [];
  for (const uid of sorted) {
    const previous = joined.at(-1);
    if (previous && uid <= previous[1] + 1) previous[1] = uid;
    else joined.push([uid, uid]);
  }
  return joined as unknown as UidSet;
}

export function uidSetHas(set: UidSet, uid: number): boolean {
  let low = 0;
  let high = set.length - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    const range = set[middle] as UidRange;
    if (uid < range[0]) high = middle - 1;
    else if (uid > range[1]) low = middle + 1;
    else return true;
  }
  return false;
}

/** RFC 3501 section 9 "sequence-set", RFC 4315 section 4 "uid-set": `1:3,7`. */
export function formatUidSet(set: UidSet): string {
  return set.map(([first, last]) => (first === last ? `${first}` : `${first}:${last}`)).join(',');
}

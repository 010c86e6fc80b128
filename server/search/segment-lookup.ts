/** Which messages of a segment may contain a pattern, from the pattern's rows alone. */
import type { Places } from './segment.ts';

export type Pattern = {
  readonly rows: readonly number[];
  /** `text`: header or body, not across the two. */
  readonly lies: 'header' | 'body' | 'text';
};

/** What was read of a segment: rows of its matrix, each of `width` bytes. */
export type ReadSegment = {
  readonly places: Places;
  readonly width: number;
  readonly row: (row: number) => Buffer;
};

/** For each message, in their order: 1 where it may contain the pattern, 0 where it can't. */
export function mayContain({ places, width, row }: ReadSegment, { rows, lies }: Pattern): Uint8Array {
  const columns = new Uint8Array(width).fill(0xff);
  for (const number of rows) {
    const bits = row(number);
    for (let at = 0; at < width; at++) columns[at] = (columns[at] as number) & (bits[at] as number);
  }
  const may = new Uint8Array(places.count);
  let column = 0;
  for (let place = 0; place < places.count; place++) {
    const headerEnd = column + places.headerColumnsAt(place);
    const bodyEnd = headerEnd + places.bodyColumnsAt(place);
    const from = lies === 'body' ? headerEnd : column;
    const to = lies === 'header' ? headerEnd : bodyEnd;
    if (places.isOpenAt(place) || hasBit(columns, from, to)) may[place] = 1;
    column = bodyEnd;
  }
  return may;
}

function hasBit(bits: Uint8Array, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (((bits[at >> 3] as number) >> (at & 7)) & 1) return true;
  return false;
}

/**
 * The search index, as pure data: folded text becomes the set of its trigrams, hashed to the rows of a bit matrix whose
 * columns are pieces of messages. Knows nothing of storage. What contains a pattern has all of the pattern's rows; the
 * opposite need not hold, so who asks looks at the text as well.
 */

/** Rows of every segment's matrix. A change makes another `indexVersion`. */
export const rowCount = 4096;

/** UTF-16 units of a pattern's beginning that lie in one column wherever the text is cut (segment-builder.ts). */
export const maxPatternLength = 64;

/** Each costs a read a segment, and the first few leave little. */
const maxPatternRows = 16;

/** The row of three UTF-16 units that follow one another. */
export function rowOf(first: number, second: number, third: number): number {
  // The upper bits, as many as rowCount has.
  return Math.imul((first << 16) ^ (second << 8) ^ third, 0x9e3779b1) >>> 20;
}

/** Rows that every column with this folded text has, each once; null: it is too short to say. */
export function patternRows(folded: string): readonly number[] | null {
  const length = Math.min(folded.length, maxPatternLength);
  if (length < 3) return null;
  const rows = new Set<number>();
  for (let at = 2; at < length; at++) {
    rows.add(rowOf(folded.charCodeAt(at - 2), folded.charCodeAt(at - 1), folded.charCodeAt(at)));
  }
  const step = Math.max(1, rows.size / maxPatternRows);
  return [...rows].filter((_row, place) => Math.floor(place / step) !== Math.floor((place - 1) / step));
}

/** Edits (a letter more, less, other, or two neighbours swapped) from one word to the other. */
function editDistance(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const isSame = from[row - 1] === to[column - 1];
      const isSwapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      current[column] = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (isSame ? 0 : 1),
        isSwapped ? (beforeLast[column - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    beforeLast = last;
    last = current;
  }
  return last[to.length] ?? 0;
}

/** The word among `known` that `word` was probably meant to be; null: none is close. */
export function nearest(word: string, known: readonly string[], maxEdits: number): string | null {
  let best: string | null = null;
  let bestEdits = maxEdits + 1;
  for (const candidate of known) {
    const edits = Math.abs(candidate.length - word.length) < bestEdits ? editDistance(word, candidate) : bestEdits;
    if (edits < bestEdits) [best, bestEdits] = [candidate, edits];
  }
  return best;
}

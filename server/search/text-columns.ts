/** Turns the folded text of a message, piece by piece, into the columns of a segment: sets of the rows of its trigrams. */
import { endianness } from 'node:os';
import { rowCount, rowOf } from './trigrams.ts';

/** Bytes of a column: bit `row & 7` (from the lowest) of byte `row >> 3`. */
export const columnBytes = rowCount / 8;

/** Rows of one column; then the text goes on in the next, so that no column says yes to everything. */
const maxRowsPerColumn = rowCount / 4;
/**
 * Trigrams before a cut that are in the next column too: whatever has at most `maxPatternLength` units, so
 * `maxPatternLength - 2` trigrams, lies whole in one of the two.
 */
const overlap = 64;
/** Trigrams after which it is looked whether the column is full. */
const stride = 64;
/** Units of text looked at in one go. */
const maxPiece = 16 * 1024;
const isBigEndian = endianness() === 'BE';

/** Where a text's columns go to; null: there may be no more, and what is left of the text is not told. */
export type NextColumn = () => Uint8Array | null;

export class TextColumns {
  #nextColumn: NextColumn = () => null;
  #column: Uint8Array | null = null;
  #rowsInColumn = 0;
  /** Of the text: its last two units, and the rows of its trigrams, of which the last few are kept. */
  #units = 0;
  #first = 0;
  #second = 0;
  readonly #rows = new Uint16Array(overlap + maxPiece);
  /** The units of the piece at hand, and their bytes: reading them one by one from a string costs twice as much. */
  readonly #piece = new Uint16Array(maxPiece);
  readonly #pieceBytes = Buffer.from(this.#piece.buffer);
  #kept = 0;

  /** A text begins, with no column while it has no trigram. Columns given must be empty. */
  start(nextColumn: NextColumn): void {
    this.#nextColumn = nextColumn;
    this.#column = null;
    this.#units = 0;
    this.#kept = 0;
  }

  /** A piece of the text, with no more and no less between it and the last one than where it is looked for. */
  add(piece: string): void {
    for (let at = 0; at < piece.length; at += maxPiece) {
      const end = this.#hash(piece.length <= maxPiece ? piece : piece.slice(at, at + maxPiece));
      if (end > this.#kept && !this.#mark(end)) return;
    }
  }

  /** Puts the rows of the piece's trigrams after those that were kept; returns their end. */
  #hash(piece: string): number {
    const units = this.#piece;
    const to = this.#pieceBytes.write(piece, 'utf16le') / 2;
    if (isBigEndian) this.#pieceBytes.subarray(0, to * 2).swap16();
    let at = 0;
    while (this.#units < 2 && at < to) {
      this.#first = this.#second;
      this.#second = units[at++] as number;
      this.#units++;
    }
    const rows = this.#rows;
    let end = this.#kept;
    let first = this.#first;
    let second = this.#second;
    for (; at < to; at++) {
      const third = units[at] as number;
      rows[end++] = rowOf(first, second, third);
      first = second;
      second = third;
    }
    this.#first = first;
    this.#second = second;
    return end;
  }

  /** Gives the rows from the kept ones to `end` to the column, and to further ones where it is full. */
  #mark(end: number): boolean {
    const rows = this.#rows;
    for (let at = this.#kept; at < end;) {
      if (this.#column === null || this.#rowsInColumn >= maxRowsPerColumn) {
        this.#column = this.#nextColumn();
        if (this.#column === null) return false;
        this.#rowsInColumn = mark(this.#column, rows, Math.max(0, at - overlap), at);
      }
      const to = Math.min(end, at + stride);
      this.#rowsInColumn += mark(this.#column, rows, at, to);
      at = to;
    }
    this.#kept = Math.min(overlap, end);
    rows.copyWithin(0, end - this.#kept, end);
    return true;
  }
}

/** Sets the bits of these rows; returns how many were not set. Without a branch: which are set nobody can foretell. */
function mark(column: Uint8Array, rows: Uint16Array, from: number, to: number): number {
  let fresh = 0;
  for (let at = from; at < to; at++) {
    const row = rows[at] as number;
    const bits = column[row >> 3] as number;
    fresh += ~(bits >> (row & 7)) & 1;
    column[row >> 3] = bits | (1 << (row & 7));
  }
  return fresh;
}

/** Makes a segment of the texts of messages, one after the other. */
import { endianness } from 'node:os';
import { BitColumns } from './bit-columns.ts';
import { encodePlaces, maxColumnsPerEmail, type Placed, type Segment } from './segment.ts';
import { rowCount, rowOf } from './trigrams.ts';

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

export class SegmentBuilder {
  readonly #matrix = new BitColumns();
  readonly #placed: Placed[] = [];

  #emailId = 0;
  #headerColumns = 0;
  #emailColumns = 0;

  #column: Uint8Array = new Uint8Array(0);
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

  get columns(): number {
    return this.#matrix.count;
  }

  get emails(): number {
    return this.#placed.length;
  }

  get firstEmail(): number | null {
    return this.#placed[0]?.emailId ?? null;
  }

  /** Ids ascend. The message's header follows, in one piece, then its body. `header` is folded. */
  begin(emailId: number, header: string): void {
    this.#emailId = emailId;
    this.#emailColumns = 0;
    this.#startText();
    this.add(header);
    this.#headerColumns = this.#emailColumns;
    this.#startText();
  }

  /** A piece of the body's folded text, with no more and no less between it and the last one than where it is looked for. */
  add(piece: string): void {
    for (let at = 0; at < piece.length && !this.isFull; at += maxPiece) {
      const end = this.#hash(piece.slice(at, at + maxPiece));
      if (end > this.#kept) this.#mark(end);
    }
  }

  /** The message has all the columns that one may have: more of its text is of no use. */
  get isFull(): boolean {
    return this.#emailColumns >= maxColumnsPerEmail;
  }

  /** `isOpen`: not all of its text could be told. */
  end(isOpen = false): void {
    this.#placed.push({
      emailId: this.#emailId,
      headerColumns: this.#headerColumns,
      bodyColumns: this.#emailColumns - this.#headerColumns,
      isOpen: isOpen || this.isFull,
    });
  }

  /** Of what is ended, at least one message. The builder is of no use after that. */
  build(): Segment {
    const columns = this.#matrix.count;
    const { width, bits } = this.#matrix.rows();
    const last = this.#placed.pop() as Placed;
    this.#placed.push({ ...last, bodyColumns: last.bodyColumns + width * 8 - columns });
    const firstEmail = this.#placed[0]?.emailId ?? 0;
    return { firstEmail, emails: this.#placed.length, places: encodePlaces(firstEmail, this.#placed), width, bits };
  }

  #startText(): void {
    this.#units = 0;
    this.#kept = 0;
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
  #mark(end: number): void {
    const rows = this.#rows;
    // At the beginning of a text nothing is kept, and its first trigram begins a column.
    if (this.#kept === 0) this.#startColumn();
    for (let at = this.#kept; at < end;) {
      if (this.#rowsInColumn >= maxRowsPerColumn) {
        if (this.isFull) break;
        this.#startColumn();
        this.#rowsInColumn = mark(this.#column, rows, Math.max(0, at - overlap), at);
      }
      const to = Math.min(end, at + stride);
      this.#rowsInColumn += mark(this.#column, rows, at, to);
      at = to;
    }
    this.#kept = Math.min(overlap, end);
    rows.copyWithin(0, end - this.#kept, end);
  }

  #startColumn(): void {
    this.#column = this.#matrix.add();
    this.#rowsInColumn = 0;
    this.#emailColumns++;
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

/** Makes a segment of the texts of messages, one after the other. */
import { encodePlaces, maxColumnsPerEmail, type Placed, type Segment } from './segment.ts';
import { rowCount, rowOf } from './trigrams.ts';

/** Rows of one column; then the text goes on in the next, so that no column says yes to everything. */
const maxRowsPerColumn = rowCount / 4;
/**
 * Trigrams before a cut that are in the next column too: whatever has at most `maxPatternLength` units, so
 * `maxPatternLength - 2` trigrams, lies whole in one of the two.
 */
const overlap = 64;
const firstWidth = 512;

export class SegmentBuilder {
  #width = firstWidth;
  #bits = Buffer.alloc(rowCount * firstWidth);
  readonly #placed: Placed[] = [];
  #columns = 0;

  #emailId = 0;
  #headerColumns = 0;
  #emailColumns = 0;

  /** Of the open column: where its bits are, and which rows it has (those with its number). */
  #byte = 0;
  #bit = 0;
  #rows = 0;
  readonly #columnOf = new Uint32Array(rowCount);

  /** Of the text: its last two units, and the rows of its last trigrams. */
  #units = 0;
  #first = 0;
  #second = 0;
  #trigrams = 0;
  readonly #last = new Uint16Array(overlap);

  get columns(): number {
    return this.#columns;
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
    if (this.isFull) return;
    let at = 0;
    while (this.#units < 2 && at < piece.length) {
      this.#first = this.#second;
      this.#second = piece.charCodeAt(at++);
      this.#units++;
    }
    if (at === piece.length) return;
    let first = this.#first;
    let second = this.#second;
    for (; at < piece.length; at++) {
      const third = piece.charCodeAt(at);
      const row = rowOf(first, second, third);
      first = second;
      second = third;
      if (this.#columnOf[row] !== this.#columns || this.#trigrams === 0) {
        this.#set(row);
        if (this.isFull) break;
      }
      this.#last[this.#trigrams++ % overlap] = row;
    }
    this.#first = first;
    this.#second = second;
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
    const width = Math.ceil(this.#columns / 8);
    const last = this.#placed.pop() as Placed;
    const padded = { ...last, bodyColumns: last.bodyColumns + width * 8 - this.#columns };
    this.#placed.push(padded);
    for (let row = 1; row < rowCount; row++) {
      this.#bits.copy(this.#bits, row * width, row * this.#width, row * this.#width + width);
    }
    const firstEmail = this.#placed[0]?.emailId ?? 0;
    return {
      firstEmail,
      emails: this.#placed.length,
      places: encodePlaces(firstEmail, this.#placed),
      width,
      bits: this.#bits.subarray(0, rowCount * width),
    };
  }

  #startText(): void {
    this.#units = 0;
    this.#trigrams = 0;
  }

  #set(row: number): void {
    if (this.#trigrams === 0) this.#startColumn();
    else if (this.#rows >= maxRowsPerColumn) {
      const before = this.#last.subarray(0, Math.min(overlap, this.#trigrams));
      this.#startColumn();
      for (const again of before) this.#setBit(again);
    }
    this.#setBit(row);
  }

  #setBit(row: number): void {
    if (this.#columnOf[row] === this.#columns) return;
    this.#columnOf[row] = this.#columns;
    const at = row * this.#width + this.#byte;
    this.#bits[at] = (this.#bits[at] as number) | this.#bit;
    this.#rows++;
  }

  /** Columns are numbered from 1 here, so that no row has been seen in the first. */
  #startColumn(): void {
    const column = this.#columns++;
    if (column === this.#width * 8) this.#widen();
    this.#emailColumns++;
    this.#byte = column >> 3;
    this.#bit = 1 << (column & 7);
    this.#rows = 0;
  }

  #widen(): void {
    const width = this.#width * 2;
    const bits = Buffer.alloc(rowCount * width);
    for (let row = 0; row < rowCount; row++) {
      this.#bits.copy(bits, row * width, row * this.#width, (row + 1) * this.#width);
    }
    this.#width = width;
    this.#bits = bits;
  }
}

/**
 * A bit matrix that is written column by column and read row by row. What is written gathers in columns of their own,
 * small enough for the processor's cache, and is turned into rows some columns at a time.
 */
import { rowCount } from './trigrams.ts';

const columnBytes = rowCount / 8;
/** Columns turned at a time. */
const stripe = 64;
const firstWidth = 64;

export class BitColumns {
  /** The columns not yet turned; the bit of a row is where `columnOf` says. */
  readonly #open = new Uint8Array(stripe * columnBytes);
  #count = 0;
  #width = firstWidth;
  #rows = Buffer.alloc(rowCount * firstWidth);

  get count(): number {
    return this.#count;
  }

  /** An empty column: bit `row & 7` (from the lowest) of byte `row >> 3`. To be written until the next one is added. */
  add(): Uint8Array {
    if (this.#count > 0 && this.#count % stripe === 0) this.#turn(this.#count - stripe);
    const at = (this.#count++ % stripe) * columnBytes;
    return this.#open.subarray(at, at + columnBytes).fill(0);
  }

  /** The rows, of `width` bytes each: bit `column & 7` of byte `column >> 3`. The matrix is of no use after that. */
  rows(): { readonly width: number; readonly bits: Buffer } {
    if (this.#count > 0) {
      const first = Math.floor((this.#count - 1) / stripe) * stripe;
      this.#open.fill(0, (this.#count - first) * columnBytes);
      this.#turn(first);
    }
    const width = Math.ceil(this.#count / 8);
    for (let row = 1; row < rowCount; row++) {
      this.#rows.copy(this.#rows, row * width, row * this.#width, row * this.#width + width);
    }
    return { width, bits: this.#rows.subarray(0, rowCount * width) };
  }

  /** The open columns, of which `first` is the first, become bytes of the rows. */
  #turn(first: number): void {
    if (first + stripe > this.#width * 8) this.#widen();
    const open = this.#open;
    const rows = this.#rows;
    const width = this.#width;
    for (let group = 0; group < stripe / 8; group++) {
      for (let byte = 0; byte < columnBytes; byte++) {
        const from = group * 8 * columnBytes + byte;
        let low = fourBytes(open, from);
        let high = fourBytes(open, from + 4 * columnBytes);
        if ((low | high) === 0) continue;
        // Eight by eight bits, turned over their diagonal by swapping ever larger blocks.
        let swap = (low ^ (low >>> 7)) & 0x00aa00aa;
        low ^= swap ^ (swap << 7);
        swap = (high ^ (high >>> 7)) & 0x00aa00aa;
        high ^= swap ^ (swap << 7);
        swap = (low ^ (low >>> 14)) & 0x0000cccc;
        low ^= swap ^ (swap << 14);
        swap = (high ^ (high >>> 14)) & 0x0000cccc;
        high ^= swap ^ (swap << 14);
        swap = (low ^ (high << 4)) & 0xf0f0f0f0;
        low ^= swap;
        high ^= swap >>> 4;
        let to = byte * 8 * width + (first >> 3) + group;
        for (let row = 0; row < 4; row++, to += width) rows[to] = low >>> (row * 8);
        for (let row = 0; row < 4; row++, to += width) rows[to] = high >>> (row * 8);
      }
    }
  }

  #widen(): void {
    const width = this.#width * 2;
    const rows = Buffer.alloc(rowCount * width);
    for (let row = 0; row < rowCount; row++) {
      this.#rows.copy(rows, row * width, row * this.#width, (row + 1) * this.#width);
    }
    this.#width = width;
    this.#rows = rows;
  }
}

/** The same byte of four columns. */
function fourBytes(columns: Uint8Array, at: number): number {
  return (
    (columns[at] as number) |
    ((columns[at + columnBytes] as number) << 8) |
    ((columns[at + 2 * columnBytes] as number) << 16) |
    ((columns[at + 3 * columnBytes] as number) << 24)
  );
}

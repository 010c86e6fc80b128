/**
 * A bit matrix that is written column by column and read row by row. What is written gathers in columns of their own,
 * small enough for the processor's cache, and is turned into rows some columns at a time.
 */
import { columnBytes } from './text-columns.ts';
import { rowCount } from './trigrams.ts';

/** Columns turned at a time. */
const stripe = 64;
const stripeBytes = stripe / 8;

export class BitColumns {
  /** The columns not yet turned; the bit of a row is where `add` says. */
  readonly #open = new Uint8Array(stripe * columnBytes);
  #count = 0;
  /** The columns turned, so many bytes of every row in each: a matrix that is widened would be copied again and again. */
  readonly #turned: Uint8Array[] = [];

  get count(): number {
    return this.#count;
  }

  /** An empty column: bit `row & 7` (from the lowest) of byte `row >> 3`. To be written until the next one is added. */
  add(): Uint8Array {
    if (this.#count > 0 && this.#count % stripe === 0) this.#turn();
    const at = (this.#count++ % stripe) * columnBytes;
    return this.#open.subarray(at, at + columnBytes);
  }

  /** The rows, of `width` bytes each: bit `column & 7` of byte `column >> 3`. The matrix is of no use after that. */
  rows(): { readonly width: number; readonly bits: Buffer } {
    if (this.#count > 0) this.#turn();
    const width = Math.ceil(this.#count / 8);
    const bits = Buffer.allocUnsafe(rowCount * width);
    for (const [place, turned] of this.#turned.entries()) {
      const first = place * stripeBytes;
      const bytes = Math.min(stripeBytes, width - first);
      for (let row = 0; row < rowCount; row++) {
        const from = row * stripeBytes;
        const to = row * width + first;
        for (let byte = 0; byte < bytes; byte++) bits[to + byte] = turned[from + byte] as number;
      }
    }
    return { width, bits };
  }

  /** The open columns become bytes of the rows. */
  #turn(): void {
    const open = this.#open;
    const rows = new Uint8Array(rowCount * stripeBytes);
    for (let group = 0; group < stripeBytes; group++) {
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
        let to = byte * 8 * stripeBytes + group;
        for (let row = 0; row < 4; row++, to += stripeBytes) rows[to] = low >>> (row * 8);
        for (let row = 0; row < 4; row++, to += stripeBytes) rows[to] = high >>> (row * 8);
      }
    }
    this.#turned.push(rows);
    open.fill(0);
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

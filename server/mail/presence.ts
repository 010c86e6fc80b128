/**
 * Which UIDs a session knows, and so which sequence number each has (RFC 3501 section 2.3.1.2): a bit a UID
 * in pages of 256, with the number of messages before each page. 100,000 messages take some 16 KB.
 */
import { pageNumberOf, type MailboxPage } from './mailbox-page.ts';
import { uidsPerPage } from './mailbox-page-columns.ts';

const bytesPerPage = uidsPerPage / 8;

const bitsInByte = Uint8Array.from({ length: 256 }, (_, byte) => {
  let bits = 0;
  for (let rest = byte; rest !== 0; rest &= rest - 1) bits++;
  return bits;
});

export class Presence {
  /** Page numbers, ascending; only the first `#pages` entries of the arrays are in use. */
  #numbers = new Uint32Array(1);
  #bits = new Uint8Array(bytesPerPage);
  /** Messages in the pages before each. */
  #before = new Uint32Array(1);
  #pages = 0;
  #count = 0;
  /** From here on the numbers in `#before` are to be counted anew. */
  #countFrom = 0;

  /** `pages` ascend. */
  static of(pages: readonly Pick<MailboxPage, 'page' | 'present'>[]): Presence {
    const presence = new Presence();
    presence.#numbers = new Uint32Array(pages.length + 1);
    presence.#before = new Uint32Array(pages.length + 1);
    presence.#bits = new Uint8Array((pages.length + 1) * bytesPerPage);
    for (const { page, present } of pages) presence.setPageBits(page, present);
    presence.recount();
    return presence;
  }

  /** Another one that knows the same; `recount` must have been called. */
  copy(): Presence {
    const copy = new Presence();
    copy.#numbers = this.#numbers.slice();
    copy.#before = this.#before.slice();
    copy.#bits = this.#bits.slice();
    copy.#pages = this.#pages;
    copy.#count = this.#count;
    copy.#countFrom = this.#countFrom;
    return copy;
  }

  /** Memory that it takes. */
  get bytes(): number {
    return this.#numbers.byteLength + this.#before.byteLength + this.#bits.byteLength;
  }

  /** Messages known. */
  get count(): number {
    return this.#count;
  }

  /** The highest UID; 0 where there is none. */
  get highestUid(): number {
    return this.#count === 0 ? 0 : this.uidAt(this.#count);
  }

  has(uid: number): boolean {
    const index = this.#find(pageNumberOf(uid));
    return index >= 0 && this.#isSet(index, uid & 255);
  }

  /** The message's sequence number; 0: there is no such message. */
  seqOf(uid: number): number {
    return this.has(uid) ? this.countBelow(uid) + 1 : 0;
  }

  /** The UID of a sequence number; 0: there is no such message. */
  uidAt(seq: number): number {
    if (seq < 1 || seq > this.#count) return 0;
    let low = 0;
    let high = this.#pages - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#before[middle] ?? 0) < seq) low = middle;
      else high = middle - 1;
    }
    let left = seq - (this.#before[low] ?? 0);
    for (let byte = 0; ; byte++) {
      const bits = this.#bits[low * bytesPerPage + byte] ?? 0;
      const here = bitsInByte[bits] ?? 0;
      if (left > here) {
        left -= here;
        continue;
      }
      for (let bit = 0; ; bit++) {
        if (((bits >> bit) & 1) === 1 && --left === 0) {
          return (this.#numbers[low] ?? 0) * uidsPerPage + byte * 8 + bit;
        }
      }
    }
  }

  /** How many known UIDs lie below this one. */
  countBelow(uid: number): number {
    const found = this.#find(pageNumberOf(uid));
    if (found < 0) {
      const next = ~found;
      return next < this.#pages ? (this.#before[next] ?? 0) : this.#count;
    }
    const slot = uid & 255;
    let count = this.#before[found] ?? 0;
    const start = found * bytesPerPage;
    for (let byte = 0; byte < slot >> 3; byte++) count += bitsInByte[this.#bits[start + byte] ?? 0] ?? 0;
    return count + (bitsInByte[(this.#bits[start + (slot >> 3)] ?? 0) & ((1 << (slot & 7)) - 1)] ?? 0);
  }

  /** The page's 32 bytes of presence, valid until the next change; null: no message of the page is known. */
  pageBits(page: number): Uint8Array | null {
    const index = this.#find(page);
    return index < 0 ? null : this.#bits.subarray(index * bytesPerPage, (index + 1) * bytesPerPage);
  }

  /** Replaces the page's presence. `recount` must follow before anything is asked. */
  setPageBits(page: number, bits: Uint8Array): void {
    let index = this.#find(page);
    if (index < 0) {
      index = ~index;
      this.#openPage(index, page);
    }
    this.#bits.set(bits, index * bytesPerPage);
    this.#countFrom = Math.min(this.#countFrom, index);
  }

  /** `recount` must follow. */
  remove(uid: number): void {
    const index = this.#find(pageNumberOf(uid));
    if (index < 0) return;
    this.#countFrom = Math.min(this.#countFrom, index);
    const at = index * bytesPerPage + ((uid & 255) >> 3);
    this.#bits[at] = (this.#bits[at] ?? 0) & ~(1 << (uid & 7));
  }

  /** What changes is mostly at the end, where new messages are. */
  recount(): void {
    const from = this.#countFrom;
    let count = from === 0 ? 0 : (this.#before[from - 1] ?? 0) + this.#countPage(from - 1);
    for (let index = from; index < this.#pages; index++) {
      this.#before[index] = count;
      count += this.#countPage(index);
    }
    this.#count = count;
    this.#countFrom = this.#pages;
  }

  #countPage(index: number): number {
    let count = 0;
    const end = (index + 1) * bytesPerPage;
    for (let at = index * bytesPerPage; at < end; at++) count += bitsInByte[this.#bits[at] ?? 0] ?? 0;
    return count;
  }

  /** The place of a page, or the complement (~) of where it would be. */
  #find(page: number): number {
    let low = 0;
    let high = this.#pages - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      const number = this.#numbers[middle] ?? 0;
      if (number === page) return middle;
      if (number < page) low = middle + 1;
      else high = middle - 1;
    }
    return ~low;
  }

  #isSet(index: number, slot: number): boolean {
    return (((this.#bits[index * bytesPerPage + (slot >> 3)] ?? 0) >> (slot & 7)) & 1) === 1;
  }

  #openPage(index: number, page: number): void {
    if (this.#pages === this.#numbers.length) this.#grow();
    this.#numbers.copyWithin(index + 1, index, this.#pages);
    this.#before.copyWithin(index + 1, index, this.#pages);
    this.#bits.copyWithin((index + 1) * bytesPerPage, index * bytesPerPage, this.#pages * bytesPerPage);
    this.#numbers[index] = page;
    this.#pages += 1;
  }

  #grow(): void {
    const size = Math.ceil(this.#numbers.length * 1.5) + 1;
    const numbers = new Uint32Array(size);
    numbers.set(this.#numbers);
    const before = new Uint32Array(size);
    before.set(this.#before);
    const bits = new Uint8Array(size * bytesPerPage);
    bits.set(this.#bits);
    this.#numbers = numbers;
    this.#before = before;
    this.#bits = bits;
  }
}

/** A segment of the index: some messages of one account that follow one another, and the matrix of their columns. */
import { rowCount } from './trigrams.ts';

export type Segment = {
  /** Messages' ids lie from here on, less than 2^32 above. */
  readonly firstEmail: number;
  readonly emails: number;
  /** Eight bytes a message; see `Places`. */
  readonly places: Buffer;
  /** Bytes of a row. */
  readonly width: number;
  /** `rowCount` rows. */
  readonly bits: Buffer;
};

const placeBytes = 8;
/** In the number of a header's columns: the message is longer than the index tells, and may contain anything. */
const openBit = 0x8000;

/** Most columns of one message: what is longer is scanned. */
export const maxColumnsPerEmail = 1024;

/**
 * Big-endian: id above `firstEmail` (4 bytes), columns of the header (2), of the body (2); columns lie in this order.
 * The last message has as many empty ones more as fill the byte.
 */
export class Places {
  readonly firstEmail: number;
  readonly count: number;
  readonly #bytes: Buffer;

  constructor({ firstEmail, places }: Pick<Segment, 'firstEmail' | 'places'>) {
    this.firstEmail = firstEmail;
    this.count = places.length / placeBytes;
    this.#bytes = places;
  }

  emailAt(place: number): number {
    return this.firstEmail + this.#bytes.readUInt32BE(place * placeBytes);
  }

  headerColumnsAt(place: number): number {
    return this.#bytes.readUInt16BE(place * placeBytes + 4) & ~openBit;
  }

  bodyColumnsAt(place: number): number {
    return this.#bytes.readUInt16BE(place * placeBytes + 6);
  }

  isOpenAt(place: number): boolean {
    return (this.#bytes.readUInt16BE(place * placeBytes + 4) & openBit) !== 0;
  }

  /** -1: it is not in this segment. */
  placeOf(emailId: number): number {
    let low = 0;
    let high = this.count - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const found = this.emailAt(middle);
      if (found === emailId) return middle;
      if (found < emailId) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }
}

export type Placed = {
  readonly emailId: number;
  readonly headerColumns: number;
  readonly bodyColumns: number;
  readonly isOpen: boolean;
};

/** In the order of their ids. */
export function encodePlaces(firstEmail: number, placed: readonly Placed[]): Buffer {
  const bytes = Buffer.allocUnsafe(placed.length * placeBytes);
  for (const [place, { emailId, headerColumns, bodyColumns, isOpen }] of placed.entries()) {
    bytes.writeUInt32BE(emailId - firstEmail, place * placeBytes);
    bytes.writeUInt16BE(headerColumns | (isOpen ? openBit : 0), place * placeBytes + 4);
    bytes.writeUInt16BE(bodyColumns, place * placeBytes + 6);
  }
  return bytes;
}

/** One segment in place of several, at least one, whose messages follow one another and fit (`fitsBeside`). */
export function joinSegments(segments: readonly Segment[]): Segment {
  const firstEmail = segments[0]?.firstEmail ?? 0;
  const width = segments.reduce((sum, segment) => sum + segment.width, 0);
  const bits = Buffer.allocUnsafe(rowCount * width);
  let at = 0;
  // Columns fill whole bytes, so the rows are put end to end.
  for (const segment of segments) {
    for (let row = 0; row < rowCount; row++) {
      segment.bits.copy(bits, row * width + at, row * segment.width, (row + 1) * segment.width);
    }
    at += segment.width;
  }
  return {
    firstEmail,
    emails: segments.reduce((sum, { emails }) => sum + emails, 0),
    places: Buffer.concat(segments.map((segment) => countedFrom(firstEmail, segment))),
    width,
    bits,
  };
}

/** May a message with this id be in a segment that begins with the other? */
export function fitsBeside(firstEmail: number, emailId: number): boolean {
  return emailId - firstEmail < 2 ** 32;
}

function countedFrom(firstEmail: number, segment: Segment): Buffer {
  const places = Buffer.from(segment.places);
  const above = segment.firstEmail - firstEmail;
  for (let at = 0; at < places.length; at += placeBytes) places.writeUInt32BE(places.readUInt32BE(at) + above, at);
  return places;
}

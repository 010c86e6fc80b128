/**
 * Postgres arrays in their binary form: node-pg sends a Buffer as it is, so nothing is escaped or turned
 * into hexadecimal. Layout: dimensions, has-null, element type, length, lower bound, then each element as
 * its length (-1: null) and bytes.
 */
import { Pieces } from '#shared/db/value-query.ts';
import { epochMs, tidBytes } from './binary-value.ts';

const typeId = { bool: 16, bytea: 17, int8: 20, int4: 23, text: 25, tid: 27, timestamptz: 1184 } as const;
const headerBytes = 20;

export function byteaArray(items: readonly (Uint8Array | null)[]): Buffer {
  return encode(
    typeId.bytea,
    items,
    (item) => item.length,
    (into, item, at) => into.set(item, at),
  );
}

/** As `byteaArray`, for `queryValue`: large items are not copied. */
export function byteaPieces(items: readonly (Buffer | null)[]): Pieces {
  const heads = emptyArray(typeId.bytea, items.length, headerBytes + items.length * 4);
  if (items.includes(null)) heads.writeInt32BE(1, 4);
  const parts: Buffer[] = [];
  let from = 0;
  let at = headerBytes;
  for (const item of items) {
    at = heads.writeInt32BE(item?.length ?? -1, at);
    if (item === null) continue;
    parts.push(heads.subarray(from, at), item);
    from = at;
  }
  if (at > from) parts.push(heads.subarray(from, at));
  return new Pieces(parts);
}

export function textArray(items: readonly (string | null)[]): Buffer {
  return encode(
    typeId.text,
    items,
    (item) => Buffer.byteLength(item),
    (into, item, at) => into.write(item, at),
  );
}

export function int4Array(items: readonly (number | null)[]): Buffer {
  if (!items.includes(null)) {
    const bytes = emptyArray(typeId.int4, items.length, headerBytes + items.length * 8);
    let at = headerBytes;
    for (const item of items as readonly number[]) {
      bytes.writeInt32BE(4, at);
      bytes.writeInt32BE(item, at + 4);
      at += 8;
    }
    return bytes;
  }
  return encode(
    typeId.int4,
    items,
    () => 4,
    (into, item, at) => into.writeInt32BE(item, at),
  );
}

export function int8Array(items: readonly (number | bigint)[]): Buffer {
  const bytes = emptyArray(typeId.int8, items.length, headerBytes + items.length * 12);
  let at = headerBytes;
  for (const item of items) {
    bytes.writeInt32BE(8, at);
    if (typeof item === 'number') {
      const high = Math.floor(item / 2 ** 32);
      bytes.writeInt32BE(high, at + 4);
      bytes.writeUInt32BE(item - high * 2 ** 32, at + 8);
    } else bytes.writeBigInt64BE(item, at + 4);
    at += 12;
  }
  return bytes;
}

export function boolArray(items: readonly (boolean | null)[]): Buffer {
  return encode(
    typeId.bool,
    items,
    () => 1,
    (into, item, at) => into.writeUInt8(item ? 1 : 0, at),
  );
}

/** As `readTid` gives them. */
export function tidArray(items: readonly number[]): Buffer {
  return encode(
    typeId.tid,
    items,
    () => tidBytes,
    (into, item, at) => into.writeUIntBE(item, at, tidBytes),
  );
}

/** Dates must lie between 4713 BC and 294276 AD. */
export function timestampArray(items: readonly (Date | null)[]): Buffer {
  return encode(
    typeId.timestamptz,
    items,
    () => 8,
    (into, item, at) => into.writeBigInt64BE(BigInt(item.getTime() - epochMs) * 1000n, at),
  );
}

/** An array without nulls, with room for its elements. */
function emptyArray(type: number, length: number, totalBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(totalBytes);
  // An empty array has no dimension; Postgres takes one of length 0 as well.
  bytes.writeInt32BE(1, 0);
  bytes.writeInt32BE(0, 4);
  bytes.writeInt32BE(type, 8);
  bytes.writeInt32BE(length, 12);
  bytes.writeInt32BE(1, 16);
  return bytes;
}

function encode<T>(
  type: number,
  items: readonly (T | null)[],
  sizeOf: (item: T) => number,
  write: (into: Buffer, item: T, at: number) => void,
): Buffer {
  const sizes = items.map((item) => (item === null ? -1 : sizeOf(item)));
  const total = sizes.reduce((sum, size) => sum + 4 + Math.max(0, size), headerBytes);
  const bytes = emptyArray(type, items.length, total);
  if (sizes.includes(-1)) bytes.writeInt32BE(1, 4);
  let at = headerBytes;
  for (const [i, item] of items.entries()) {
    const size = sizes[i] ?? -1;
    bytes.writeInt32BE(size, at);
    at += 4;
    if (item === null) continue;
    write(bytes, item, at);
    at += size;
  }
  return bytes;
}

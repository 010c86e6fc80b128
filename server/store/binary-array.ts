/**
 * Postgres arrays in their binary form: node-pg sends a Buffer as it is, so nothing is escaped or turned
 * into hexadecimal. Layout: dimensions, has-null, element type, length, lower bound, then each element as
 * its length (-1: null) and bytes.
 */
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

export function textArray(items: readonly (string | null)[]): Buffer {
  return encode(
    typeId.text,
    items,
    (item) => Buffer.byteLength(item),
    (into, item, at) => into.write(item, at),
  );
}

export function int4Array(items: readonly (number | null)[]): Buffer {
  return encode(
    typeId.int4,
    items,
    () => 4,
    (into, item, at) => into.writeInt32BE(item, at),
  );
}

export function int8Array(items: readonly (number | bigint)[]): Buffer {
  return encode(
    typeId.int8,
    items,
    () => 8,
    (into, item, at) => into.writeBigInt64BE(BigInt(item), at),
  );
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

function encode<T>(
  type: number,
  items: readonly (T | null)[],
  sizeOf: (item: T) => number,
  write: (into: Buffer, item: T, at: number) => void,
): Buffer {
  const sizes = items.map((item) => (item === null ? -1 : sizeOf(item)));
  const bytes = Buffer.allocUnsafe(sizes.reduce((sum, size) => sum + 4 + Math.max(0, size), headerBytes));
  // An empty array has no dimension; Postgres takes one of length 0 as well.
  bytes.writeInt32BE(1, 0);
  bytes.writeInt32BE(sizes.includes(-1) ? 1 : 0, 4);
  bytes.writeInt32BE(type, 8);
  bytes.writeInt32BE(items.length, 12);
  bytes.writeInt32BE(1, 16);
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

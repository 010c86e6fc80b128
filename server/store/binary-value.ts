/** Values of Postgres in their binary form: as `COPY … (FORMAT binary)` gives them (shared/db/copy-out.ts), and parameters. */

/** 2000-01-01, where Postgres counts microseconds from. */
export const epochMs = 946_684_800_000;
/** A row's place in its table: the page and the item. */
export const tidBytes = 6;

export function readText(value: Buffer): string {
  return value.toString();
}

export function readInt2(value: Buffer): number {
  return value.readInt16BE(0);
}

export function readInt4(value: Buffer): number {
  return value.readInt32BE(0);
}

export function readInt8(value: Buffer): bigint {
  return value.readBigInt64BE(0);
}

export function readBool(value: Buffer): boolean {
  return value[0] === 1;
}

/** Of a timestamptz that is not infinite; milliseconds are what a Date has. */
export function readDate(value: Buffer): Date {
  return new Date(epochMs + Number(value.readBigInt64BE(0) / 1000n));
}

/** As a number, for `tidArray`. */
export function readTid(value: Buffer): number {
  return value.readUIntBE(0, tidBytes);
}

/** As a parameter of a statement; see `timestampArray`. */
export function timestampBytes(at: Date): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64BE(BigInt(at.getTime() - epochMs) * 1000n);
  return bytes;
}

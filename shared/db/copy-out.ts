/**
 * `COPY (…) TO STDOUT (FORMAT binary)`: the only way in which node-pg gives bytes as bytes. Its rows of other queries are
 * text, a bytea in hexadecimal. A statement of this kind has no parameters but RowMemory and is planned each time.
 */
import type pg from 'pg';

/** A row's columns in their binary form. */
export type CopiedRow = readonly (Buffer | null)[];

const copyStatement = /^\s*copy \(/i;
/** Of the memory that rows are copied to: one piece for many rows costs far less than a piece a row. */
const [leastSlabBytes, mostSlabBytes] = [16 * 1024, 256 * 1024];
/** Signature, flags and the length of an extension that is never there. */
const headerBytes = 19;

/**
 * Memory for the rows of one statement after the other: new memory for whatever is read costs more than reading it. As a
 * statement's only parameter it takes the rows; they are good until `reuse`.
 */
export class RowMemory {
  readonly #bytes: Buffer;
  #used = 0;

  constructor(bytes: number) {
    this.#bytes = Buffer.allocUnsafeSlow(bytes);
  }

  /** Null: there is not enough left. */
  take(bytes: number): Buffer | null {
    const end = this.#used + bytes;
    if (end > this.#bytes.length) return null;
    const taken = this.#bytes.subarray(this.#used, end);
    this.#used = end;
    return taken;
  }

  /** The rows that lie in it are needed no more, and no statement is writing there. */
  reuse(): void {
    this.#used = 0;
  }
}

export function isCopyOut(text: string): boolean {
  return copyStatement.test(text);
}

/** All rows at once: the statement bounds their bytes. What `memory` has no room for gets memory of its own. */
export function copyOut(
  client: pg.ClientBase,
  text: string,
  memory: RowMemory | null,
): Promise<{ readonly rows: readonly CopiedRow[] }> {
  return new Promise((resolve, reject) => {
    client.query(new CopyOut(text, memory, (error, rows) => (error ? reject(error) : resolve({ rows }))));
  });
}

type Connection = { query(text: string): void; sendCopyFail(message: string): void };

/** What node-pg calls in the course of a query. */
class CopyOut implements pg.Submittable {
  readonly #text: string;
  readonly #memory: RowMemory | null;
  #done: ((error: Error | null, rows: readonly CopiedRow[]) => void) | null;
  readonly #rows: CopiedRow[] = [];
  #isBegun = false;
  #slab = Buffer.alloc(0);
  #copiedBytes = 0;

  constructor(text: string, memory: RowMemory | null, done: (error: Error | null, rows: readonly CopiedRow[]) => void) {
    this.#text = text;
    this.#memory = memory;
    this.#done = done;
  }

  submit(connection: unknown): void {
    (connection as Connection).query(this.#text);
  }

  /** One message a row; the first has the header before its row, the last is the end mark alone. */
  handleCopyData({ chunk }: { readonly chunk: Buffer }): void {
    const row = readRow(chunk, this.#isBegun ? 0 : headerBytes, (bytes) => this.#copy(bytes));
    this.#isBegun = true;
    if (row !== null) this.#rows.push(row);
  }

  handleError(error: Error): void {
    this.#finish(error);
  }

  handleReadyForQuery(): void {
    this.#finish(null);
  }

  // node-pg calls all of these.
  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}

  handleCopyInResponse(connection: Connection): void {
    connection.sendCopyFail('nothing is copied in');
  }

  /** The parser writes over the bytes that it gives out. */
  #copy(bytes: Buffer): Buffer {
    const taken = this.#memory?.take(bytes.length) ?? null;
    if (taken !== null) {
      bytes.copy(taken);
      return taken;
    }
    if (this.#slab.length < bytes.length) {
      const wanted = Math.min(Math.max(this.#copiedBytes, leastSlabBytes), mostSlabBytes);
      this.#slab = Buffer.allocUnsafeSlow(Math.max(wanted, bytes.length));
    }
    this.#copiedBytes += bytes.length;
    bytes.copy(this.#slab);
    const copied = this.#slab.subarray(0, bytes.length);
    this.#slab = this.#slab.subarray(bytes.length);
    return copied;
  }

  #finish(error: Error | null): void {
    this.#done?.(error, this.#rows);
    this.#done = null;
  }
}

/** Null: the end mark, or nothing. */
function readRow(chunk: Buffer, start: number, copy: (bytes: Buffer) => Buffer): CopiedRow | null {
  if (chunk.length < start + 2) return null;
  const count = chunk.readInt16BE(start);
  if (count < 0) return null;
  const columns: (Buffer | null)[] = [];
  let at = start + 2;
  for (let i = 0; i < count; i++) {
    const length = chunk.readInt32BE(at);
    at += 4;
    if (length === -1) columns.push(null);
    else {
      columns.push(copy(chunk.subarray(at, at + length)));
      at += length;
    }
  }
  return columns;
}

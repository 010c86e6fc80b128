/**
 * `COPY (…) TO STDOUT (FORMAT binary)`: the only way in which node-pg gives bytes as bytes. Its rows of other queries are
 * text, a bytea in hexadecimal. A statement of this kind has no parameters and is planned each time.
 */
import type pg from 'pg';

/** A row's columns in their binary form. */
export type CopiedRow = readonly (Buffer | null)[];

const copyStatement = /^\s*copy \(/i;
/** Of the memory that rows are copied to: one piece for many rows costs far less than a piece a row. */
const [leastSlabBytes, mostSlabBytes] = [16 * 1024, 256 * 1024];
/** Signature, flags and the length of an extension that is never there. */
const headerBytes = 19;

export function isCopyOut(text: string): boolean {
  return copyStatement.test(text);
}

/** All rows at once: the statement bounds their bytes. */
export function copyOut(client: pg.ClientBase, text: string): Promise<{ readonly rows: readonly CopiedRow[] }> {
  return new Promise((resolve, reject) => {
    client.query(new CopyOut(text, (error, rows) => (error ? reject(error) : resolve({ rows }))));
  });
}

type Connection = { query(text: string): void; sendCopyFail(message: string): void };

/** What node-pg calls in the course of a query. */
class CopyOut implements pg.Submittable {
  readonly #text: string;
  #done: ((error: Error | null, rows: readonly CopiedRow[]) => void) | null;
  readonly #rows: CopiedRow[] = [];
  #isBegun = false;
  #slab = Buffer.alloc(0);
  #copiedBytes = 0;

  constructor(text: string, done: (error: Error | null, rows: readonly CopiedRow[]) => void) {
    this.#text = text;
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

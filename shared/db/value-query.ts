/**
 * A statement whose answer is one value and whose parameters may be large. node-pg would copy each parameter twice into
 * memory taken for the statement: with messages among them, giving that back costs more than all else. Here what is small
 * is copied once, and what is large not at all.
 */
import type { Writable } from 'node:stream';
import type pg from 'pg';

/** One parameter, in its binary form, whose bytes lie in several places. */
export class Pieces {
  readonly parts: readonly Buffer[];
  readonly length: number;

  constructor(parts: readonly Buffer[]) {
    this.parts = parts;
    this.length = parts.reduce((sum, { length }) => sum + length, 0);
  }

  /** node-pg calls it, where it is a parameter of an ordinary query. */
  toPostgres(): Buffer {
    return Buffer.concat(this.parts);
  }
}

/** Buffers and Pieces are binary, all else is text. */
export type ParameterValue = Buffer | Pieces | string | number | bigint | boolean | null;

/** Prepared once a connection under its name. */
export type ValueStatement = {
  readonly name: string;
  readonly text: string;
  readonly values: readonly ParameterValue[];
};

/** A part of so many bytes is sent from where it is. */
const largeBytes = 16 * 1024;

/**
 * The first column of the first row as text; null: it is null, or there is no row. Rejects as `client.query` does. The
 * parameters must not change before.
 */
export function queryValue(client: pg.Client, statement: ValueStatement, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve, reject) => {
    client.query(new ValueQuery(statement, timeoutMs, (error, value) => (error ? reject(error) : resolve(value))));
  });
}

/** What is used of node-pg's connection. */
type Connection = {
  readonly stream: Writable;
  readonly parsedStatements: Readonly<Record<string, string>>;
  readonly submittedNamedStatements: Record<string, string>;
  parse(statement: { readonly name: string; readonly text: string }): void;
  sendCopyFail(message: string): void;
};

/** What node-pg calls in the course of a query. */
class ValueQuery implements pg.Submittable {
  readonly name: string;
  readonly text: string;
  /** node-pg reads it, and wraps `callback`. */
  readonly query_timeout: number;
  callback: (error: Error | null, value: string | null) => void;
  readonly #messages: readonly Buffer[];
  #value: string | null = null;

  constructor({ name, text, values }: ValueStatement, timeoutMs: number, done: ValueQuery['callback']) {
    this.name = name;
    this.text = text;
    this.query_timeout = timeoutMs;
    this.callback = done;
    this.#messages = encodeExecution(name, values);
  }

  submit(connection: unknown): void {
    const { stream, parsedStatements, submittedNamedStatements } = connection as Connection;
    stream.cork();
    try {
      if (parsedStatements[this.name] === undefined && submittedNamedStatements[this.name] === undefined) {
        (connection as Connection).parse({ name: this.name, text: this.text });
        submittedNamedStatements[this.name] = this.text;
      }
      // Where it can't be written to, node-pg is about to hear why.
      if (stream.writable) for (const part of this.#messages) stream.write(part);
    } finally {
      stream.uncork();
    }
  }

  handleDataRow({ fields }: { readonly fields: readonly (string | null)[] }): void {
    this.#value = fields[0] ?? null;
  }

  handleError(error: Error): void {
    this.callback(error, null);
  }

  handleReadyForQuery(): void {
    this.callback(null, this.#value);
  }

  handleCopyInResponse(connection: Connection): void {
    connection.sendCopyFail('nothing is copied in');
  }

  // node-pg calls all of these.
  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}
  handleCopyData(): void {}
}

type Encoded = { readonly parts: readonly Buffer[]; readonly length: number; readonly format: 0 | 1 };

/** Execute for the portal without a name, and Sync. */
const executeAndSync = Buffer.from([0x45, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0x53, 0, 0, 0, 4]);

/** Bind, Execute and Sync. There is no Describe: the columns need no description. */
function encodeExecution(name: string, values: readonly ParameterValue[]): readonly Buffer[] {
  const encoded = values.map(encodeValue);
  const statement = Buffer.from(`\0${name}\0`);
  const count = values.length;
  const fixed = 4 + statement.length + 2 + count * 2 + 2 + count * 4 + 2;
  const bytes = encoded.reduce((sum, value) => sum + (value?.length ?? 0), fixed);
  const message = new Gathering(1 + bytes - largeBytesOf(encoded) + executeAndSync.length);
  message.int8(0x42);
  message.int32(bytes);
  message.add(statement);
  message.int16(count);
  for (const value of encoded) message.int16(value?.format ?? 0);
  message.int16(count);
  for (const value of encoded) {
    message.int32(value?.length ?? -1);
    for (const part of value?.parts ?? []) message.add(part);
  }
  // The answer's columns are text.
  message.int16(0);
  message.add(executeAndSync);
  return message.end();
}

function encodeValue(value: ParameterValue): Encoded | null {
  if (value === null) return null;
  if (value instanceof Pieces) return { parts: value.parts, length: value.length, format: 1 };
  if (value instanceof Buffer) return { parts: [value], length: value.length, format: 1 };
  const text = Buffer.from(String(value));
  return { parts: [text], length: text.length, format: 0 };
}

function largeBytesOf(values: readonly (Encoded | null)[]): number {
  let bytes = 0;
  for (const value of values) {
    for (const { length } of value?.parts ?? []) if (length >= largeBytes) bytes += length;
  }
  return bytes;
}

/** Bytes for the wire, large parts by reference. */
class Gathering {
  readonly #buffer: Buffer;
  readonly #parts: Buffer[] = [];
  /** Of the buffer: where what is not yet in a part begins and ends. */
  #from = 0;
  #at = 0;

  /** `bytes`: of all that is not large. */
  constructor(bytes: number) {
    this.#buffer = Buffer.allocUnsafe(bytes);
  }

  int8(value: number): void {
    this.#at = this.#buffer.writeInt8(value, this.#at);
  }

  int16(value: number): void {
    this.#at = this.#buffer.writeInt16BE(value, this.#at);
  }

  int32(value: number): void {
    this.#at = this.#buffer.writeInt32BE(value, this.#at);
  }

  add(part: Buffer): void {
    if (part.length < largeBytes) {
      this.#at += part.copy(this.#buffer, this.#at);
      return;
    }
    this.#parts.push(this.#buffer.subarray(this.#from, this.#at), part);
    this.#from = this.#at;
  }

  end(): readonly Buffer[] {
    this.#parts.push(this.#buffer.subarray(this.#from, this.#at));
    return this.#parts;
  }
}

/**
 * What a submission server does to the header of a message from one of its own users (RFC 6409 section 8): adds
 * Date and Message-ID where they are missing (sections 8.2 and 8.3) and takes Bcc out (RFC 5322 section 3.6.3).
 */
import { noBytes, type ByteFilter } from './byte-filter.ts';
import { formatDateTime } from './trace-header.ts';

/** A larger header is passed on as it is: no program of a user makes one. */
const maxHeaderBytes = 256 * 1024;

/** Bytes that the added fields take at most. */
export const maxAddedHeaderBytes = 512;

export type AddedFields = { readonly date: Date; readonly messageIdLeft: string; readonly messageIdRight: string };

const emptyLine = Buffer.from('\r\n\r\n');
const fieldName = /^([!-9;-~]+)[ \t]*:/;

export class SubmissionHeader implements ByteFilter {
  readonly #added: AddedFields;
  /** The header as far as it has come; null when it is behind us. */
  #held: Buffer[] | null = [];
  #heldBytes = 0;

  constructor(added: AddedFields) {
    this.#added = added;
  }

  push(chunk: Buffer): Buffer {
    if (this.#held === null) return chunk;
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    const bytes = this.#held.length === 1 ? chunk : Buffer.concat(this.#held);
    // A message that begins with an empty line has an empty header.
    const end = bytes.subarray(0, 2).equals(emptyLine.subarray(2)) ? 0 : bytes.indexOf(emptyLine) + 2;
    const hasEnded = end !== 1;
    if (!hasEnded && this.#heldBytes <= maxHeaderBytes) {
      this.#held = [bytes];
      return noBytes;
    }
    this.#held = null;
    return hasEnded ? Buffer.concat([this.#fixed(bytes.subarray(0, end)), bytes.subarray(end)]) : bytes;
  }

  finish(): Buffer {
    if (this.#held === null) return noBytes;
    const bytes = Buffer.concat(this.#held);
    this.#held = null;
    return this.#fixed(bytes);
  }

  #fixed(header: Buffer): Buffer {
    const names = new Set<string>();
    const kept: string[] = [];
    let isDropping = false;
    // Latin-1 keeps each byte as it is.
    for (const line of header.toString('latin1').split(/(?<=\r\n)/)) {
      const isContinuation = line.startsWith(' ') || line.startsWith('\t');
      if (!isContinuation) {
        const name = fieldName.exec(line)?.[1]?.toLowerCase() ?? '';
        names.add(name);
        isDropping = name === 'bcc' || name === 'resent-bcc';
      }
      if (!isDropping) kept.push(line);
    }
    const { date, messageIdLeft, messageIdRight } = this.#added;
    const added: string[] = [];
    if (!names.has('date')) added.push(`Date: ${formatDateTime(date)}\r\n`);
    if (!names.has('message-id')) added.push(`Message-ID: <${messageIdLeft}@${messageIdRight}>\r\n`);
    return Buffer.from([...added, ...kept].join(''), 'latin1');
  }
}

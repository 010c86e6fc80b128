/**
 * What a submission server does to the header of a message from one of its own users (RFC 6409 section 8): adds
 * Date and Message-ID where they are missing (sections 8.2 and 8.3), takes Bcc out (RFC 5322 section 3.6.3), and
 * Return-Path, which only the last server writes (RFC 5321 section 4.4).
 */
import { GrowingBuffer } from '#server/mime/growing-buffer.ts';
import { noBytes, type ByteFilter } from './byte-filter.ts';
import { formatDateTime } from './trace-header.ts';

/** A larger header is not held back as a whole: nothing is added to it, and Bcc is taken out of it as it comes. */
const maxHeaderBytes = 256 * 1024;

/** Bytes of a line after which its field name must have ended. */
const maxNameBytes = 1000;

/** Bytes that the added fields take at most. */
export const maxAddedHeaderBytes = 512;

export type AddedFields = { readonly date: Date; readonly messageIdLeft: string; readonly messageIdRight: string };

const emptyLine = Buffer.from('\r\n\r\n');
const fieldName = /^([!-9;-~]+)[ \t]*:/;
const blindNames: ReadonlySet<string> = new Set(['bcc', 'resent-bcc']);
const droppedNames: ReadonlySet<string> = new Set([...blindNames, 'return-path']);

export class SubmissionHeader implements ByteFilter {
  readonly #added: AddedFields;
  /** The header as far as it has come; null when it is behind us. */
  #held: GrowingBuffer | null = new GrowingBuffer();
  /** Only while a large header goes by. */
  #long: LongHeader | null = null;
  #blindFields = '';

  constructor(added: AddedFields) {
    this.#added = added;
  }

  /** The Bcc fields of a header that was held back, with CRLFs. A binary string. */
  get blindFields(): string {
    return this.#blindFields;
  }

  push(chunk: Buffer): Buffer {
    if (this.#long !== null) return this.#passLong(this.#long, chunk);
    const held = this.#held;
    if (held === null) return chunk;
    // Only what is new is looked at, but for an empty line that began before it.
    const from = Math.max(0, held.length - emptyLine.length + 1);
    held.append(chunk);
    const end = endOfHeader(held.view(), from);
    // The empty line of the longest header that is held ends two bytes behind it.
    if (end === null && held.length < maxHeaderBytes + 2) return noBytes;
    this.#held = null;
    if (end !== null && end <= maxHeaderBytes)
      return Buffer.concat([this.#fixed(held.view().subarray(0, end)), held.view(end)]);
    this.#long = new LongHeader();
    return this.#passLong(this.#long, held.view());
  }

  finish(): Buffer {
    if (this.#long !== null) return this.#long.finish();
    if (this.#held === null) return noBytes;
    const bytes = this.#held.view();
    this.#held = null;
    return this.#fixed(bytes);
  }

  #passLong(header: LongHeader, chunk: Buffer): Buffer {
    const bytes = header.push(chunk);
    if (header.hasEnded) this.#long = null;
    return bytes;
  }

  #fixed(header: Buffer): Buffer {
    const names = new Set<string>();
    const kept: string[] = [];
    let isDropping = false;
    let isBlind = false;
    // Latin-1 keeps each byte as it is.
    for (const line of header.toString('latin1').split(/(?<=\r\n)/)) {
      if (!isContinuation(line)) {
        const name = nameOf(line);
        names.add(name);
        isDropping = droppedNames.has(name);
        isBlind = blindNames.has(name);
      }
      if (!isDropping) kept.push(line);
      else if (isBlind) this.#blindFields += line;
    }
    const { date, messageIdLeft, messageIdRight } = this.#added;
    const added: string[] = [];
    if (!names.has('date')) added.push(`Date: ${formatDateTime(date)}\r\n`);
    if (!names.has('message-id')) added.push(`Message-ID: <${messageIdLeft}@${messageIdRight}>\r\n`);
    return Buffer.from([...added, ...kept].join(''), 'latin1');
  }
}

/** Where the empty line begins that ends the header, looked for from `from` on; null: not yet there. */
function endOfHeader(bytes: Buffer, from: number): number | null {
  // A message that begins with an empty line has an empty header.
  if (from === 0 && bytes.subarray(0, 2).equals(emptyLine.subarray(2))) return 0;
  const found = bytes.indexOf(emptyLine, from);
  return found < 0 ? null : found + 2;
}

/** A header that goes by line by line, without its Bcc fields. */
class LongHeader {
  hasEnded = false;
  /** The end of what came, where it isn't known yet what it is. */
  #partial = '';
  #isDropping = false;
  /** The beginning of the present line is behind us. */
  #isInLine = false;

  push(chunk: Buffer): Buffer {
    const text = this.#partial + chunk.toString('latin1');
    this.#partial = '';
    const kept: string[] = [];
    for (let at = 0; at < text.length;) {
      const lineEnd = text.indexOf('\r\n', at);
      if (lineEnd === at && !this.#isInLine) {
        this.hasEnded = true;
        kept.push(text.slice(at));
        break;
      }
      if (lineEnd < 0 && text.length - at < maxNameBytes) {
        this.#partial = text.slice(at);
        break;
      }
      // A CR that came last may be half of a line's end.
      const end = lineEnd >= 0 ? lineEnd + 2 : text.length - (text.endsWith('\r') ? 1 : 0);
      this.#take(text.slice(at, end), kept);
      this.#isInLine = lineEnd < 0;
      at = end;
    }
    return Buffer.from(kept.join(''), 'latin1');
  }

  finish(): Buffer {
    const kept: string[] = [];
    this.#take(this.#partial, kept);
    this.#partial = '';
    return Buffer.from(kept.join(''), 'latin1');
  }

  #take(piece: string, kept: string[]): void {
    if (!this.#isInLine && !isContinuation(piece)) this.#isDropping = droppedNames.has(nameOf(piece));
    if (!this.#isDropping) kept.push(piece);
  }
}

function isContinuation(line: string): boolean {
  return line.startsWith(' ') || line.startsWith('\t');
}

function nameOf(line: string): string {
  return fieldName.exec(line)?.[1]?.toLowerCase() ?? '';
}

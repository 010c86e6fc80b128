import { fieldSpans } from './header.ts';
import type { Part } from './part.ts';

/** Bytes `start` to `end` (exclusive) of the message. */
export type ByteRange = { readonly start: number; readonly end: number };

/** RFC 3501 section 9 "section-msgtext" and "MIME"; of HEADER.FIELDS the range of the whole header is given. */
export type SectionText = 'HEADER' | 'TEXT' | 'MIME' | 'HEADER.FIELDS' | 'HEADER.FIELDS.NOT';

/**
 * The bytes that RFC 3501 section 6.4.5 BODY[section] names; null where the message has no such part. With an
 * empty path the message itself is meant; `text` null is the body of the part, or all of the message.
 */
export function sectionRange(root: Part, path: readonly number[], text: SectionText | null): ByteRange | null {
  if (path.length === 0) {
    if (text === null) return { start: root.headerStart, end: root.end };
    return text === 'MIME' ? null : messageRange(root, text);
  }
  const part = findPart(root, path);
  if (part === null) return null;
  if (text === null) return { start: part.bodyStart, end: part.end };
  if (text === 'MIME') return { start: part.headerStart, end: part.bodyStart };
  // HEADER and TEXT are those of the message that the part holds.
  const message = embeddedMessage(part);
  return message && messageRange(message, text);
}

/** The part with this number, RFC 3501 section 6.4.5; null where there is none. */
export function findPart(root: Part, path: readonly number[]): Part | null {
  let part: Part | null = null;
  for (const number of path) {
    const holder: Part | null = part === null ? root : (embeddedMessage(part) ?? part);
    // Every message has at least one part: what isn't a multipart is its own part 1, but has none inside.
    if (holder.type === 'multipart') part = holder.children[number - 1] ?? null;
    else part = number === 1 && holder !== part ? holder : null;
    if (part === null) return null;
  }
  return part;
}

/**
 * HEADER.FIELDS (`not` false) or HEADER.FIELDS.NOT of a header section: the fields named, or all others, as
 * they stand, and the empty line where the header has one (RFC 3501 section 6.4.5: "except in the case of a
 * message which has no body and no blank line"). Names are compared without case.
 */
export function headerFields(header: Buffer, names: readonly string[], not: boolean): Buffer {
  return Buffer.from(headerFieldsOf(header.toString('latin1'), names, not), 'latin1');
}

/** The same of a binary string. */
export function headerFieldsOf(header: string, names: readonly string[], not: boolean): string {
  const wanted = new Set(names.map((name) => name.toLowerCase()));
  let kept = '';
  let end = 0;
  for (const field of fieldSpans(header)) {
    end = field.end;
    if (wanted.has(field.name) !== not) kept += header.slice(field.start, field.end);
  }
  return kept + header.slice(end);
}

function embeddedMessage(part: Part): Part | null {
  return part.type === 'message' && part.subtype === 'rfc822' ? (part.children[0] ?? null) : null;
}

function messageRange(message: Part, text: Exclude<SectionText, 'MIME'>): ByteRange {
  if (text === 'TEXT') return { start: message.bodyStart, end: message.end };
  return { start: message.headerStart, end: message.bodyStart };
}

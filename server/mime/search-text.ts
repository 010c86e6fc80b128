/**
 * What IMAP SEARCH looks through (RFC 3501 section 6.4.4): header fields and text, decoded from transfer
 * encoding, charset and encoded words. Large bodies pass through in pieces.
 */
import { charsetDecoder } from './charset.ts';
import { decodeEncodedWords } from './encoded-word.ts';
import { fieldSpans, unfold } from './header.ts';
import type { Part } from './part.ts';
import { transferDecoder } from './transfer-encoding.ts';

/** Bytes `start` to `end` (exclusive) of the message, in chunks. */
export type ReadBytes = (start: number, end: number) => AsyncIterable<Buffer>;

/**
 * Text as it is compared: compatibility forms unified (Unicode NFKC) and in lower case, so that case, width
 * and the composition of accents don't matter; accents themselves do. Needle and text are both folded, so a letter must
 * become the same wherever it stands: a sigma has another form in lower case at the end of a word.
 */
export function foldText(text: string): string {
  // Only ASCII has as many bytes as units, and only case to fold.
  if (Buffer.byteLength(text) === text.length) return text.toLowerCase();
  return text.normalize('NFKC').toLowerCase().replaceAll('ς', 'σ');
}

/** The decoded values of all fields of this name; `header` is a binary string. */
export function fieldTexts(header: string, name: string): string[] {
  const wanted = name.toLowerCase();
  const texts: string[] = [];
  for (const field of fieldSpans(header)) {
    if (field.hasColon && field.name === wanted) texts.push(decodedValue(header, field));
  }
  return texts;
}

/** The decoded header section, one field a line as `name: value`; `header` is a binary string. */
export function headerText(header: string): string {
  const decode = /=\?|[\x80-\xff]/.test(header) ? decodeEncodedWords : (plain: string) => plain;
  const lines: string[] = [];
  for (const field of fieldSpans(header)) {
    const name = header.slice(field.start, field.hasColon ? field.valueStart : field.end).trimEnd();
    const value = unfold(header.slice(field.valueStart, field.end));
    lines.push(field.hasColon ? `${name} ${decode(value)}\n` : `${decode(name)}\n`);
  }
  return lines.join('');
}

/**
 * The decoded text of all text parts, and the headers of the messages inside, in their order. Pieces end at
 * line breaks where lines aren't longer than `maxPieceLength`; a line break stands between parts.
 */
export async function* bodyText(root: Part, read: ReadBytes): AsyncGenerator<string, void, void> {
  for (const part of partsInOrder(root)) {
    if (part.type === 'text') {
      yield* partText(part, read);
      yield '\n';
    } else if (part.type === 'message' && part.subtype === 'rfc822') {
      const message = part.children[0];
      if (message) yield headerText(await readHeader(message, read));
    }
  }
}

/**
 * The same of a message whose bytes are at hand, as one text a part: `raw` begins with the message and reaches as far as
 * `searchedEnd`. Null: a text is so long that `bodyText` may cut it inside a line, where folding sees another text.
 */
export function bodyTexts(root: Part, raw: Buffer): readonly string[] | null {
  const texts: string[] = [];
  for (const part of partsInOrder(root)) {
    if (part.type === 'text') {
      const text = wholeText(part, raw);
      if (text.length > maxPieceLength) return null;
      texts.push(text, '\n');
    } else if (part.type === 'message' && part.subtype === 'rfc822') {
      const message = part.children[0];
      if (message) texts.push(headerText(raw.toString('latin1', message.headerStart, message.bodyStart)));
    }
  }
  return texts;
}

/** Where the last byte lies that `headerText` and `bodyText` look at; what follows is attachments. */
export function searchedEnd(root: Part): number {
  const ends = partsInOrder(root).map((part) => (part.type === 'text' ? part.end : part.bodyStart));
  return Math.max(...ends);
}

function wholeText(part: Part, raw: Buffer): string {
  const transfer = transferDecoder(part.encoding);
  const charset = charsetDecoder(part.charset);
  // A chunk, and the end, as `partText` has them.
  return (
    charset.write(transfer.write(raw.subarray(part.bodyStart, part.end))) +
    charset.write(transfer.end()) +
    charset.end()
  );
}

/** UTF-16 units after which a piece of text is cut even inside a line. */
const maxPieceLength = 64 * 1024;

function decodedValue(header: string, field: { readonly valueStart: number; readonly end: number }): string {
  return decodeEncodedWords(unfold(header.slice(field.valueStart, field.end)));
}

function partsInOrder(root: Part): readonly Part[] {
  const found: Part[] = [];
  const visit = (part: Part): void => {
    found.push(part);
    part.children.forEach(visit);
  };
  visit(root);
  return found;
}

async function readHeader(message: Part, read: ReadBytes): Promise<string> {
  const pieces: string[] = [];
  for await (const chunk of read(message.headerStart, message.bodyStart)) pieces.push(chunk.toString('latin1'));
  return pieces.join('');
}

async function* partText(part: Part, read: ReadBytes): AsyncGenerator<string, void, void> {
  const transfer = transferDecoder(part.encoding);
  const charset = charsetDecoder(part.charset);
  let held = '';
  for await (const chunk of read(part.bodyStart, part.end)) {
    held += charset.write(transfer.write(chunk));
    const cut = held.lastIndexOf('\n') + 1 || (held.length > maxPieceLength ? held.length : 0);
    if (cut === 0) continue;
    yield held.slice(0, cut);
    held = held.slice(cut);
  }
  yield held + charset.write(transfer.end()) + charset.end();
}

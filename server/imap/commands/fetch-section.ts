/**
 * The bytes of a FETCH's body item as spans of one stored message (RFC 3501 section 6.4.5): sizes are known, and the
 * literal can be announced, before a byte is read. Trace fields of the delivery lie before the bytes as received.
 */
import type { MessageContent } from '#server/mail/ports.ts';
import { headerFields, sectionRange } from '#server/mime/section.ts';
import { unreachable } from '#shared/base/unreachable.ts';
import type { BodySection, FetchItem } from '../grammar/command.ts';

/** Bytes at hand, or bytes `start` to `end` (exclusive) of the message as received. */
export type Span = Buffer | { readonly start: number; readonly end: number };

export type BodyItem = Extract<FetchItem, { kind: 'BODY[]' | 'RFC822' | 'RFC822.HEADER' | 'RFC822.TEXT' }>;

export function isBodyItem(item: FetchItem): item is BodyItem {
  return item.kind === 'BODY[]' || (item.kind.startsWith('RFC822') && item.kind !== 'RFC822.SIZE');
}

/** RFC 3501 section 6.4.5: these mark the message \Seen. */
export function setsSeen(item: FetchItem): boolean {
  return item.kind === 'RFC822' || item.kind === 'RFC822.TEXT' || (item.kind === 'BODY[]' && !item.peek);
}

/** Null: the message has no such part. */
export async function spansOf(content: MessageContent, item: BodyItem): Promise<readonly Span[] | null> {
  return partialOf(await sectionSpans(content, sectionOf(item)), item);
}

function partialOf(spans: readonly Span[] | null, item: BodyItem): readonly Span[] | null {
  if (spans === null || item.kind !== 'BODY[]' || item.partial === null) return spans;
  return cut(spans, item.partial.offset, item.partial.count);
}

/**
 * All of the item's bytes, where nothing has to be waited for or worked out: good as long as a chunk of the content. Null:
 * read `spansOf`.
 */
export function bytesAtHand(content: MessageContent, item: BodyItem): readonly Buffer[] | null {
  const section = sectionOf(item);
  const spans = picksFields(section) ? null : partialOf(rangeSpans(content, section), item);
  if (spans === null) return null;
  const bytes: Buffer[] = [];
  for (const span of spans) {
    const chunk = Buffer.isBuffer(span) ? span : (content.atHand?.(span.start, span.end) ?? null);
    if (chunk === null || chunk.length !== lengthOf(span)) return null;
    bytes.push(chunk);
  }
  return bytes;
}

/** RFC 3501 section 6.4.5: the RFC822 items are other names for sections. */
function sectionOf(item: BodyItem): BodySection {
  switch (item.kind) {
    case 'BODY[]':
      return item.section;
    case 'RFC822':
      return { path: [], text: null };
    case 'RFC822.HEADER':
      return { path: [], text: { kind: 'HEADER' } };
    case 'RFC822.TEXT':
      return { path: [], text: { kind: 'TEXT' } };
    default:
      return unreachable(item);
  }
}

async function sectionSpans(content: MessageContent, section: BodySection): Promise<readonly Span[] | null> {
  const spans = rangeSpans(content, section);
  const { text } = section;
  if (spans === null || (text?.kind !== 'HEADER.FIELDS' && text?.kind !== 'HEADER.FIELDS.NOT')) return spans;
  // Header sections are bounded by maxHeaderBytes.
  const header: Buffer[] = [];
  for await (const chunk of chunksOf(content, spans)) header.push(Buffer.from(chunk));
  return [headerFields(Buffer.concat(header), text.fields, text.kind === 'HEADER.FIELDS.NOT')];
}

function picksFields({ text }: BodySection): boolean {
  return text?.kind === 'HEADER.FIELDS' || text?.kind === 'HEADER.FIELDS.NOT';
}

/** Of a selection of fields the whole header. */
function rangeSpans(content: MessageContent, { path, text }: BodySection): readonly Span[] | null {
  const range = sectionRange(content.root, path, text === null ? null : text.kind);
  if (range === null) return null;
  return path.length === 0 && text?.kind !== 'TEXT' ? [content.prefix, range] : [range];
}

export function spanBytes(spans: readonly Span[]): number {
  return spans.reduce((sum, span) => sum + lengthOf(span), 0);
}

function lengthOf(span: Span): number {
  return Buffer.isBuffer(span) ? span.length : span.end - span.start;
}

/** RFC 3501 section 6.4.5, partial: at most `count` bytes from `offset` on; beyond the end there are none. Pure. */
function cut(spans: readonly Span[], offset: number, count: number): readonly Span[] {
  const kept: Span[] = [];
  let at = 0;
  for (const span of spans) {
    const length = lengthOf(span);
    const from = Math.max(offset - at, 0);
    const to = Math.min(offset + count - at, length);
    if (from < to) {
      kept.push(Buffer.isBuffer(span) ? span.subarray(from, to) : { start: span.start + from, end: span.start + to });
    }
    at += length;
  }
  return kept;
}

export async function* chunksOf(content: MessageContent, spans: readonly Span[]): AsyncGenerator<Buffer, void, void> {
  for (const span of spans) {
    if (Buffer.isBuffer(span)) {
      if (span.length > 0) yield span;
    } else if (span.end > span.start) {
      yield* content.read(span.start, span.end);
    }
  }
}

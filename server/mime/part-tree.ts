import { maxEnvelopeAddresses, maxMimeDepth, maxMimeParts } from '#shared/base/limits.ts';
import { formatMultipart, formatSinglePart } from './bodystructure.ts';
import { boundaryOf, contentFieldNames, contentFields } from './content-fields.ts';
import type { ContentFields } from './content-fields.ts';
import { parameter } from './content-type.ts';
import { parseDateTime } from './date-time.ts';
import { envelopeFieldNames, formatEnvelope, lastValue } from './envelope.ts';
import type { AddressBudget } from './envelope.ts';
import { collectFields } from './header.ts';
import type { MessageIndex, Part } from './part.ts';

/** An entity whose header has been read and whose end is not known. */
type OpenPart = {
  readonly headerStart: number;
  readonly bodyStart: number;
  /** Line feeds of the message before the body. */
  readonly lineFeeds: number;
  readonly content: ContentFields;
  readonly kind: 'multipart' | 'message' | 'leaf';
  /** Null: none, or its close delimiter has been seen (what follows is the epilogue). */
  boundary: Buffer | null;
  /** Of the first entity of a message. */
  readonly envelope: string | null;
  readonly children: ClosedPart[];
};

type ClosedPart = { readonly part: Part; readonly bodystructure: string; readonly envelope: string | null };

/** Where parts end: at `position`, or `breakBytes` before it where the line break belongs to a boundary. */
export type EndOfParts = { readonly position: number; readonly breakBytes: number; readonly lineFeeds: number };

/** A boundary line: which of the open entities it delimits, and whether it closes it. */
export type BoundaryMatch = { readonly level: number; readonly closes: boolean };

const dash = 45;
const partFieldNames: ReadonlySet<string> = new Set(contentFieldNames);
const messageFieldNames: ReadonlySet<string> = new Set([...contentFieldNames, ...envelopeFieldNames]);
const rootFieldNames: ReadonlySet<string> = new Set([...messageFieldNames, 'received']);

/** The parts of a message as the scanner comes upon them; formats each one's structure when it ends. */
export class PartTree {
  readonly #open: OpenPart[] = [];
  readonly #addresses: AddressBudget = { left: maxEnvelopeAddresses };
  #parts = 0;
  #root: ClosedPart | null = null;
  #sentAt: MessageIndex['sentAt'] = null;
  #receivedFields = 0;
  /** Bytes of the longest boundary that may come; 0 where none may. */
  longestBoundary = 0;

  /** The header of the next entity is complete. Says whether its body begins with another header. */
  beginBody(header: string, headerStart: number, bodyStart: number, lineFeeds: number): 'header' | 'body' {
    const parent = this.#open.at(-1);
    const isMessage = parent === undefined || parent.kind === 'message';
    const names = parent === undefined ? rootFieldNames : isMessage ? messageFieldNames : partFieldNames;
    const fields = collectFields(header, names);
    if (parent === undefined) this.#noteRoot(fields);
    const inDigest = parent?.kind === 'multipart' && parent.content.mediaType.subtype.toLowerCase() === 'digest';
    const content = contentFields(fields, inDigest);
    this.#parts++;
    const kind = kindOf(content);
    const isTooDeep = kind !== 'leaf' && (this.#open.length + 1 >= maxMimeDepth || this.#parts >= maxMimeParts);
    const boundary = isTooDeep ? null : boundaryOf(content.mediaType);
    this.#open.push({
      headerStart,
      bodyStart,
      lineFeeds,
      content: isTooDeep ? opaque(content) : content,
      kind: isTooDeep ? 'leaf' : kind,
      boundary: boundary === null ? null : Buffer.from(boundary, 'latin1'),
      envelope: isMessage ? formatEnvelope(fields, this.#addresses) : null,
      children: [],
    });
    this.#measureBoundaries();
    return kind === 'message' && !isTooDeep ? 'header' : 'body';
  }

  /**
   * Judges a line behind its two dashes, without its line break; where `isWhole` is false it goes on beyond
   * what could matter. RFC 2046 section 5.1.1: it is enough that the line begins with a boundary. Of several
   * the innermost that is all of the line counts, else the longest.
   */
  findBoundary(line: Buffer, isWhole: boolean): BoundaryMatch | null {
    let best: BoundaryMatch | null = null;
    let bestLength = 0;
    for (let level = this.#open.length - 1; level >= 0; level--) {
      const boundary = this.#open[level]?.boundary;
      if (!boundary || boundary.length <= bestLength || !startsWith(line, boundary)) continue;
      const rest = line.length - boundary.length;
      const closes = line[boundary.length] === dash && line[boundary.length + 1] === dash;
      best = { level, closes };
      bestLength = boundary.length;
      if (isWhole && (rest === 0 || (closes && rest === 2))) break;
    }
    return best;
  }

  /** Ends what lies inside the entity that the boundary delimits. */
  endAtBoundary(match: BoundaryMatch, end: EndOfParts): void {
    this.#closeDownTo(match.level + 1, end);
    const multipart = this.#open[match.level];
    if (multipart && match.closes) multipart.boundary = null;
    this.#measureBoundaries();
  }

  /** All of the message has been read, `beginBody` was called for its first header at least. */
  finish(end: EndOfParts): Pick<MessageIndex, 'envelope' | 'bodystructure' | 'root' | 'sentAt' | 'receivedFields'> {
    this.#closeDownTo(0, end);
    const root = this.#root;
    if (root?.envelope == null) throw new Error('finish comes after beginBody');
    return {
      envelope: root.envelope,
      bodystructure: root.bodystructure,
      root: root.part,
      sentAt: this.#sentAt,
      receivedFields: this.#receivedFields,
    };
  }

  #noteRoot(fields: ReadonlyMap<string, readonly string[]>): void {
    this.#receivedFields = fields.get('received')?.length ?? 0;
    this.#sentAt = parseDateTime(lastValue(fields, 'date') ?? '');
  }

  #closeDownTo(level: number, { position, breakBytes, lineFeeds }: EndOfParts): void {
    // The line break before a boundary belongs to it, even where it is the empty line after a header (RFC 2046
    // section 5.1.1 "body-part"), but not where it already ended the boundary line before.
    const end = Math.max(position - breakBytes, this.#open[level]?.headerStart ?? 0);
    const lineFeedsBefore = end < position ? lineFeeds - 1 : lineFeeds;
    while (this.#open.length > level) {
      const closed = close(this.#open.pop() as OpenPart, end, lineFeedsBefore);
      const parent = this.#open.at(-1);
      if (parent) parent.children.push(closed);
      else this.#root = closed;
    }
  }

  /** With the last part that is told apart, boundaries end: it takes in the rest of the message. */
  #measureBoundaries(): void {
    let longest = 0;
    if (this.#parts < maxMimeParts) {
      for (const { boundary } of this.#open) if (boundary && boundary.length > longest) longest = boundary.length;
    }
    this.longestBoundary = longest;
  }
}

function startsWith(line: Buffer, boundary: Buffer): boolean {
  if (line.length < boundary.length || line[0] !== boundary[0]) return false;
  return line.compare(boundary, 0, boundary.length, 0, boundary.length) === 0;
}

function kindOf({ mediaType }: ContentFields): OpenPart['kind'] {
  const type = mediaType.type.toLowerCase();
  if (type === 'multipart') return 'multipart';
  return type === 'message' && mediaType.subtype.toLowerCase() === 'rfc822' ? 'message' : 'leaf';
}

/** Beyond the limits an entity with parts is bytes that a client can save. */
function opaque(content: ContentFields): ContentFields {
  return { ...content, mediaType: { ...content.mediaType, type: 'application', subtype: 'octet-stream' } };
}

function close(open: OpenPart, end: number, lineFeeds: number): ClosedPart {
  const { content, kind, children, envelope } = open;
  const bodyStart = Math.min(open.bodyStart, end);
  const part: Part = {
    headerStart: Math.min(open.headerStart, end),
    bodyStart,
    end,
    type: content.mediaType.type.toLowerCase(),
    subtype: content.mediaType.subtype.toLowerCase(),
    charset: parameter(content.mediaType.parameters, 'charset')?.toLowerCase() ?? null,
    encoding: content.encoding.toLowerCase(),
    children: children.map((child) => child.part),
  };
  if (kind === 'multipart') {
    const structures = children.map((child) => child.bodystructure);
    return { part, bodystructure: formatMultipart(content, structures), envelope };
  }
  const inner = children[0];
  const embedded =
    kind === 'message' && inner ? { envelope: inner.envelope ?? '', bodystructure: inner.bodystructure } : null;
  const measure = { bytes: end - bodyStart, lines: Math.max(0, lineFeeds - open.lineFeeds), embedded };
  return { part, bodystructure: formatSinglePart(content, measure), envelope };
}

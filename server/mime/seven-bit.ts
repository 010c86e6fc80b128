/**
 * A message as ASCII in lines of at most 998 bytes, for a server without 8BITMIME (RFC 6152 section 3): parts that are not
 * so become quoted-printable or base64 (RFC 2045 section 6), at any depth, and nothing else changes. The same message
 * becomes the same bytes each time.
 */
import { contentFieldNames, contentFields } from './content-fields.ts';
import { collectFields, fieldSpans } from './header.ts';
import type { Part } from './part.ts';
import { Base64Encoder, QuotedPrintableEncoder, type TransferEncoder } from './transfer-encoder.ts';

export type ReadBytes = (start: number, end: number) => AsyncIterable<Buffer>;

/** The message's bytes in order: a header, the body of an entity without parts, what lies between parts. */
type Segment = {
  readonly kind: 'header' | 'body' | 'between';
  readonly part: Part;
  readonly start: number;
  readonly end: number;
  /** Inside of something signed or encrypted. */
  readonly isSealed: boolean;
};

type Census = { readonly highBytes: number; readonly longestLine: number };

/** How one entity goes out; null: as it is. */
type Encoding = 'quoted-printable' | 'base64' | '7bit' | null;

export type SevenBitPlan = { readonly segments: readonly (Segment & { readonly encoding: Encoding })[] };

/** RFC 5322 section 2.1.1, without the line break. */
const maxLineBytes = 998;
/** What may be encoded, since it is not yet (RFC 2045 section 6.4). */
const plainEncodings: ReadonlySet<string> = new Set(['7bit', '8bit', 'binary']);
/** Altering a byte of these breaks what they are for (RFC 1847, RFC 3156, RFC 8551). */
const sealedTypes: ReadonlySet<string> = new Set(['multipart/signed', 'multipart/encrypted']);
/** Signatures over the body that are not ours to make anew. */
const signatureFields: ReadonlySet<string> = new Set([
  'dkim-signature',
  'domainkey-signature',
  'arc-seal',
  'arc-message-signature',
]);

/**
 * Null: it can't be done without breaking something: 8-bit bytes in a header, in what is signed, in what has an encoding
 * already, or in a type that must not be encoded (RFC 2046 section 5.2). Reads all of the message.
 */
export async function planSevenBit(root: Part, read: ReadBytes): Promise<SevenBitPlan | null> {
  const encodings = new Map<Part, Encoding>();
  const segments = [...segmentsOf(root, false)];
  for (const segment of segments) {
    if (segment.kind === 'header' && segment.part === root && (await hasSignature(segment, read))) return null;
    const census = await take(segment, read);
    if (segment.kind === 'body') {
      const encoding = encodingOf(segment, census);
      if (encoding === 'impossible' || (isEncoded(encoding) && (await isComposite(segment.part, read)))) return null;
      encodings.set(segment.part, encoding);
    } else if (census.highBytes > 0) return null;
    else if (segment.kind === 'header' && segment.part.children.length > 0) {
      encodings.set(segment.part, segment.isSealed ? null : relabelled(segment.part));
    }
  }
  return { segments: segments.map((segment) => ({ ...segment, encoding: encodings.get(segment.part) ?? null })) };
}

/** The message as planned, in pieces. */
export async function* writeSevenBit({ segments }: SevenBitPlan, read: ReadBytes): AsyncGenerator<Buffer, void, void> {
  const [first] = segments;
  for (const [at, segment] of segments.entries()) {
    const { kind, encoding, start, end } = segment;
    if (encoding === null || kind === 'between' || (kind === 'body' && encoding === '7bit')) {
      yield* read(start, end);
    } else if (kind === 'header') {
      const header = await text(read(start, end));
      yield Buffer.from(withEncoding(header, encoding, segment.part === first?.part), 'latin1');
    } else {
      yield* encoded(read(start, end), encoding === 'base64' ? new Base64Encoder() : new QuotedPrintableEncoder());
      if (encoding === 'base64' && at === segments.length - 1) yield Buffer.from('\r\n');
    }
  }
}

function* segmentsOf(part: Part, isInSealed: boolean): Generator<Segment, void, void> {
  const { headerStart, bodyStart, end, children } = part;
  yield { kind: 'header', part, start: headerStart, end: bodyStart, isSealed: isInSealed };
  const isSealed = isInSealed || sealedTypes.has(`${part.type}/${part.subtype}`);
  if (children.length === 0) {
    yield { kind: 'body', part, start: bodyStart, end, isSealed };
    return;
  }
  let at = bodyStart;
  for (const child of children) {
    if (child.headerStart > at) yield { kind: 'between', part, start: at, end: child.headerStart, isSealed };
    yield* segmentsOf(child, isSealed);
    at = child.end;
  }
  if (end > at) yield { kind: 'between', part, start: at, end, isSealed };
}

function encodingOf({ part, isSealed, start, end }: Segment, census: Census): Encoding | 'impossible' {
  const isFit = census.highBytes === 0 && census.longestLine <= maxLineBytes;
  if (isFit) return isSealed ? null : relabelled(part);
  if (isSealed || !plainEncodings.has(part.encoding)) return 'impossible';
  // Whatever is shorter: an escaped byte takes three, base64 four for three.
  return part.type === 'text' && census.highBytes * 6 <= end - start ? 'quoted-printable' : 'base64';
}

function isEncoded(encoding: Encoding): boolean {
  return encoding === 'base64' || encoding === 'quoted-printable';
}

/** What has parts may have no encoding of its own (RFC 2045 section 6.4), also where they were too many to be told apart. */
async function isComposite({ headerStart, bodyStart }: Part, read: ReadBytes): Promise<boolean> {
  const fields = collectFields(await text(read(headerStart, bodyStart)), new Set(contentFieldNames));
  return ['multipart', 'message'].includes(contentFields(fields, false).mediaType.type.toLowerCase());
}

/** What is ASCII says so (RFC 2045 section 6.2). */
function relabelled({ encoding }: Part): Encoding {
  return encoding === '8bit' || encoding === 'binary' ? '7bit' : null;
}

async function hasSignature({ start, end }: Segment, read: ReadBytes): Promise<boolean> {
  for (const { name } of fieldSpans(await text(read(start, end)))) if (signatureFields.has(name)) return true;
  return false;
}

async function take({ start, end }: Segment, read: ReadBytes): Promise<Census> {
  let highBytes = 0;
  let longestLine = 0;
  let line = 0;
  for await (const chunk of read(start, end)) {
    for (const byte of chunk) {
      if (byte > 0x7f) highBytes++;
      if (byte === 10) line = 0;
      else if (byte !== 13) longestLine = Math.max(longestLine, ++line);
    }
  }
  return { highBytes, longestLine };
}

/** `header` is a binary string with its empty line. */
function withEncoding(header: string, encoding: string, isRoot: boolean): string {
  let out = '';
  let end = 0;
  let isTyped = false;
  let hasVersion = false;
  for (const field of fieldSpans(header)) {
    isTyped ||= field.name === 'content-type';
    hasVersion ||= field.name === 'mime-version';
    if (field.name !== 'content-transfer-encoding') out += header.slice(field.start, field.end);
    end = field.end;
  }
  if (out !== '' && !out.endsWith('\n')) out += '\r\n';
  // RFC 1428 section 3: what it is was never said.
  if (isRoot && !isTyped) out += 'Content-Type: text/plain; charset=unknown-8bit\r\n';
  if (isRoot && !hasVersion) out += 'MIME-Version: 1.0\r\n';
  const rest = header.slice(end);
  return `${out}Content-Transfer-Encoding: ${encoding}\r\n${rest === '' ? '\r\n' : rest}`;
}

async function* encoded(chunks: AsyncIterable<Buffer>, encoder: TransferEncoder): AsyncGenerator<Buffer, void, void> {
  for await (const chunk of chunks) yield Buffer.from(encoder.write(chunk), 'latin1');
  yield Buffer.from(encoder.end(), 'latin1');
}

async function text(chunks: AsyncIterable<Buffer>): Promise<string> {
  let all = '';
  for await (const chunk of chunks) all += chunk.toString('latin1');
  return all;
}

/** The DKIM-Signature field of RFC 6376, and what it signs of a header. Pure. */
import { fieldSpans } from '#server/mime/header.ts';

/**
 * Signed once more than it is there, so that nobody can add another (RFC 6376 section 8.15). What mailing lists add
 * (List-*, Sender) is not among them.
 */
const oversigned = [
  'from',
  'to',
  'cc',
  'subject',
  'date',
  'message-id',
  'reply-to',
  'in-reply-to',
  'references',
  'mime-version',
  'content-type',
  'content-transfer-encoding',
];
/** Signed where it is there. */
const signed = [
  'sender',
  'content-id',
  'content-description',
  'resent-date',
  'resent-from',
  'resent-to',
  'resent-cc',
  'resent-message-id',
  'list-id',
  'list-help',
  'list-unsubscribe',
  'list-unsubscribe-post',
  'list-post',
  'list-owner',
  'auto-submitted',
];

export type SignedFields = {
  /** The value of h=. */
  readonly names: readonly string[];
  /** The fields in relaxed form, each with CRLF, in the order of `names`. */
  readonly text: string;
};

/** `header` is a binary string. */
export function signedFields(header: string): SignedFields {
  const fields = new Map<string, string[]>();
  for (const { name, hasColon, valueStart, end } of fieldSpans(header)) {
    if (!hasColon) continue;
    const values = fields.get(name) ?? [];
    fields.set(name, values);
    values.push(header.slice(valueStart, end));
  }
  const names: string[] = [];
  let text = '';
  for (const name of [...oversigned, ...signed]) {
    // RFC 6376 section 5.4.2: of several, the last comes first.
    for (const value of (fields.get(name) ?? []).toReversed()) {
      names.push(name);
      text += `${relaxedField(name, value)}\r\n`;
    }
  }
  return { names: [...names, ...oversigned], text };
}

/** RFC 6376 section 3.4.2, without the line break at the end. */
export function relaxedField(name: string, value: string): string {
  const oneLine = value.replaceAll(/\r?\n/g, '').replaceAll(/[ \t]+/g, ' ');
  return `${name.toLowerCase()}:${oneLine.replaceAll(/^ | $/g, '')}`;
}

export type SignatureTags = {
  readonly algorithm: 'rsa-sha256' | 'ed25519-sha256';
  readonly domain: string;
  readonly selector: string;
  readonly at: Date;
  readonly names: readonly string[];
  readonly bodyHash: string;
};

/** The value up to "b=", folded: what is signed ends so (RFC 6376 section 3.7). */
export function unsignedValue({ algorithm, domain, selector, at, names, bodyHash }: SignatureTags): string {
  const seconds = Math.floor(at.getTime() / 1000);
  return [
    ` v=1; a=${algorithm}; c=relaxed/relaxed; d=${domain};`,
    `s=${selector}; t=${seconds};`,
    ...foldedNames(names),
    `bh=${bodyHash};`,
    'b=',
  ].join('\r\n\t');
}

/** The field with its CRLF. `signature` is in base64. */
export function signatureField(unsigned: string, signature: string): string {
  const lines = signature.match(/.{1,72}/g) ?? [];
  return `DKIM-Signature:${unsigned}${lines.join('\r\n\t')}\r\n`;
}

/** Lines of at most 76 characters, where RFC 6376 section 3.5 allows white space: around the colons. */
function foldedNames(names: readonly string[]): readonly string[] {
  const lines: string[] = [];
  let line = 'h=';
  for (const [at, name] of names.entries()) {
    const piece = at === names.length - 1 ? `${name};` : `${name}:`;
    if (line.length + piece.length > 74) {
      lines.push(line);
      line = '';
    }
    line += piece;
  }
  return [...lines, line];
}

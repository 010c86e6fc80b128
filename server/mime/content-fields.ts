import { firstToken, parameter, parseDisposition, parseLanguages, parseMediaType } from './content-type.ts';
import type { Disposition, MediaType } from './content-type.ts';
import { unfold } from './header.ts';

/** What an entity's header says of its content (RFC 2045 section 3), as written; null where it says nothing. */
export type ContentFields = {
  readonly mediaType: MediaType;
  readonly id: string | null;
  readonly description: string | null;
  readonly encoding: string;
  readonly md5: string | null;
  readonly disposition: Disposition | null;
  readonly languages: readonly string[];
  readonly location: string | null;
};

/** The fields that `contentFields` looks at. */
export const contentFieldNames: readonly string[] = [
  'content-type',
  'content-id',
  'content-description',
  'content-transfer-encoding',
  'content-md5',
  'content-disposition',
  'content-language',
  'content-location',
];

/** Bytes of one field's value that are looked at, address lists apart; beyond is nonsense. */
export const maxFieldValueBytes = 64 * 1024;

const plainText: MediaType = { type: 'text', subtype: 'plain', parameters: [] };
const embeddedMessage: MediaType = { type: 'message', subtype: 'rfc822', parameters: [] };

/**
 * Where a field is there twice the first counts. A part of a multipart/digest that doesn't name its type is a
 * message (RFC 2046 section 5.1.5); anything else is plain text, as is a type that can't be read (RFC 2045
 * section 5.2).
 */
export function contentFields(fields: ReadonlyMap<string, readonly string[]>, inDigest: boolean): ContentFields {
  const type = first(fields, 'content-type');
  const disposition = first(fields, 'content-disposition');
  return {
    mediaType: type === null ? (inDigest ? embeddedMessage : plainText) : (parseMediaType(type) ?? plainText),
    id: first(fields, 'content-id'),
    description: first(fields, 'content-description'),
    encoding: firstToken(first(fields, 'content-transfer-encoding') ?? '') || '7bit',
    md5: first(fields, 'content-md5'),
    disposition: disposition === null ? null : parseDisposition(disposition),
    languages: parseLanguages(first(fields, 'content-language') ?? ''),
    location: first(fields, 'content-location'),
  };
}

/** The multipart's boundary; null where it has none that could stand in a line (RFC 2046 section 5.1.1). */
export function boundaryOf(mediaType: MediaType): string | null {
  if (mediaType.type.toLowerCase() !== 'multipart') return null;
  // A boundary must not end with white space; relays strip it from the lines.
  const boundary = parameter(mediaType.parameters, 'boundary')?.replace(/[ \t]+$/, '') ?? '';
  return boundary === '' || boundary.length > maxBoundaryBytes ? null : boundary;
}

/** RFC 2046 section 5.1.1 allows 70 bytes, RFC 5322 section 2.1.1 lines of 998 with their two dashes. */
const maxBoundaryBytes = 996;

function first(fields: ReadonlyMap<string, readonly string[]>, name: string): string | null {
  const raw = fields.get(name)?.[0];
  return raw === undefined ? null : unfold(raw.slice(0, maxFieldValueBytes));
}

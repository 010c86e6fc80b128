import type { ContentFields } from './content-fields.ts';
import type { Parameter } from './content-type.ts';
import { parameter } from './content-type.ts';
import { nstring } from './imap-string.ts';

/** What BODYSTRUCTURE tells of a part that is no multipart. */
export type PartMeasure = {
  readonly bytes: number;
  readonly lines: number;
  /** Of a message/rfc822: what it holds. */
  readonly embedded: { readonly envelope: string; readonly bodystructure: string } | null;
};

/** RFC 3501 section 9 "body-type-1part" with extension data. */
export function formatSinglePart(content: ContentFields, measure: PartMeasure): string {
  const { type, subtype, parameters } = content.mediaType;
  const isText = type.toLowerCase() === 'text';
  // RFC 2045 section 5.2: the default of text; told, since many clients rely on it.
  const shown: readonly Parameter[] =
    isText && parameter(parameters, 'charset') === null ? [...parameters, ['charset', 'us-ascii']] : parameters;
  const items = [
    nstring(type),
    nstring(subtype),
    formatParameters(shown),
    nstring(content.id),
    nstring(content.description),
    nstring(content.encoding),
    String(measure.bytes),
  ];
  if (measure.embedded) items.push(measure.embedded.envelope, measure.embedded.bodystructure);
  if (isText || measure.embedded) items.push(String(measure.lines));
  items.push(nstring(content.md5), formatPlacement(content));
  return `(${items.join(' ')})`;
}

/** RFC 3501 section 9 "body-type-mpart" with extension data. The grammar wants a part: an empty text where there is none. */
export function formatMultipart(content: ContentFields, parts: readonly string[]): string {
  const children = parts.length === 0 ? emptyText : parts.join('');
  const { subtype, parameters } = content.mediaType;
  return `(${children} ${nstring(subtype)} ${formatParameters(parameters)} ${formatPlacement(content)})`;
}

const emptyText = '("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0 NIL NIL NIL NIL)';

/**
 * RFC 3501 section 7.4.2 BODY: a BODYSTRUCTURE that the functions above made, without its extension data
 * (body-fld-md5, -dsp, -lang, -loc, and the parameters of a multipart).
 */
export function bodyWithoutExtensions(bodystructure: string): string {
  const cursor: Cursor = { text: bodystructure, at: 0, kept: '' };
  keepBody(cursor);
  return cursor.kept;
}

function formatPlacement({ disposition, languages, location }: ContentFields): string {
  const shownDisposition =
    disposition === null ? 'NIL' : `(${nstring(disposition.type)} ${formatParameters(disposition.parameters)})`;
  const shownLanguages = languages.length === 0 ? 'NIL' : `(${languages.map(nstring).join(' ')})`;
  return `${shownDisposition} ${shownLanguages} ${nstring(location)}`;
}

function formatParameters(parameters: readonly Parameter[]): string {
  if (parameters.length === 0) return 'NIL';
  return `(${parameters.map(([name, value]) => `${nstring(name)} ${nstring(value)}`).join(' ')})`;
}

type Cursor = { readonly text: string; at: number; kept: string };

function keepBody(cursor: Cursor): void {
  const { text } = cursor;
  cursor.at++;
  cursor.kept += '(';
  if (text[cursor.at] === '(') {
    while (text[cursor.at] === '(') keepBody(cursor);
    keepValues(cursor, 1);
  } else {
    const from = cursor.at;
    skipValue(cursor);
    const type = text.slice(from, cursor.at).toLowerCase();
    const subtypeFrom = cursor.at;
    skipValue(cursor);
    const isMessage = type === '"message"' && text.slice(subtypeFrom, cursor.at).toLowerCase() === ' "rfc822"';
    cursor.kept += text.slice(from, cursor.at);
    keepValues(cursor, 5);
    if (isMessage) {
      keepValues(cursor, 1);
      cursor.at++;
      cursor.kept += ' ';
      keepBody(cursor);
    }
    if (isMessage || type === '"text"') keepValues(cursor, 1);
  }
  while (text[cursor.at] !== ')') skipValue(cursor);
  cursor.at++;
  cursor.kept += ')';
}

function keepValues(cursor: Cursor, count: number): void {
  const from = cursor.at;
  for (let n = 0; n < count; n++) skipValue(cursor);
  cursor.kept += cursor.text.slice(from, cursor.at);
}

/** Passes one value and the space before it: list, quoted string, literal, number or NIL. */
function skipValue(cursor: Cursor): void {
  const { text } = cursor;
  let depth = 0;
  do {
    if (text[cursor.at] === ' ') cursor.at++;
    const character = text[cursor.at];
    if (character === undefined) throw new Error(`not a BODYSTRUCTURE of ours: ends inside a value`);
    if (character === '(') {
      depth++;
      cursor.at++;
    } else if (character === ')') {
      depth--;
      cursor.at++;
    } else if (character === '"') cursor.at = endOfQuoted(text, cursor.at + 1);
    else if (character === '{') {
      const brace = text.indexOf('}', cursor.at);
      cursor.at = brace + 3 + Number(text.slice(cursor.at + 1, brace));
    } else while (!' ()"{'.includes(text[cursor.at] ?? ' ')) cursor.at++;
  } while (depth > 0);
}

/** The position after the closing quote. */
function endOfQuoted(text: string, from: number): number {
  let at = from;
  while (text[at] !== '"') {
    if (at >= text.length) throw new Error('not a BODYSTRUCTURE of ours: a quoted string is open');
    at += text[at] === '\\' ? 2 : 1;
  }
  return at + 1;
}

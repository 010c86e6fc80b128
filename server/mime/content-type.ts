import { FieldLexer } from './field-lexer.ts';

export type Parameter = readonly [name: string, value: string];

/** A Content-Type or Content-Disposition as written; names are compared without case. */
export type MediaType = { readonly type: string; readonly subtype: string; readonly parameters: readonly Parameter[] };
export type Disposition = { readonly type: string; readonly parameters: readonly Parameter[] };

/** RFC 2045 section 5.1 "token"; 8-bit bytes are let through. */
const token = /^[^\x00-\x20()<>@,;:\\"/[\]?=]+$/;
const tokenStops = '";(';

/** RFC 2045 section 5.1; null where it can't be read, which means the default (section 5.2). `text` is unfolded. */
export function parseMediaType(text: string): MediaType | null {
  const lexer = new FieldLexer(text);
  lexer.skipCfws();
  const type = lexer.word('/";(');
  lexer.skipCfws();
  if (!lexer.take('/')) return null;
  lexer.skipCfws();
  const subtype = lexer.word(`/${tokenStops}`);
  return !token.test(type) || !token.test(subtype) ? null : { type, subtype, parameters: readParameters(lexer) };
}

/** RFC 2183 section 2; null where it is empty. `text` is unfolded. */
export function parseDisposition(text: string): Disposition | null {
  const lexer = new FieldLexer(text);
  lexer.skipCfws();
  const type = lexer.word(tokenStops);
  return type === '' ? null : { type, parameters: readParameters(lexer) };
}

/** The first token of a field such as Content-Transfer-Encoding (RFC 2045 section 6.1); empty where there is none. */
export function firstToken(text: string): string {
  const lexer = new FieldLexer(text);
  lexer.skipCfws();
  return lexer.word(tokenStops);
}

/** RFC 3282 section 2: the language tags of Content-Language. */
export function parseLanguages(text: string): readonly string[] {
  const lexer = new FieldLexer(text);
  const tags: string[] = [];
  while (!lexer.done) {
    lexer.skipCfws();
    const tag = lexer.word(',(');
    if (tag !== '') tags.push(tag);
    else if (!lexer.take(',')) lexer.skipCfws();
  }
  return tags;
}

export function parameter(parameters: readonly Parameter[], name: string): string | null {
  return parameters.find(([key]) => key.toLowerCase() === name)?.[1] ?? null;
}

/** Parameters in their order; values in pieces (RFC 2231 section 3) are joined, as its section 6 asks of IMAP. */
function readParameters(lexer: FieldLexer): readonly Parameter[] {
  const found: Parameter[] = [];
  while (!lexer.done) {
    // White space in a value that wasn't quoted, and other rubbish, lasts to the next semicolon.
    lexer.skipCfws();
    if (!lexer.take(';')) {
      if (lexer.peek() === '"') lexer.quotedString();
      else if (lexer.word(tokenStops) === '') lexer.position += lexer.done || ';('.includes(lexer.peek()) ? 0 : 1;
      continue;
    }
    lexer.skipCfws();
    const name = lexer.word(`=${tokenStops}`);
    lexer.skipCfws();
    if (name === '' || !lexer.take('=')) continue;
    lexer.skipCfws();
    // Unquoted values with characters that no token has (boundary=----=_Part/1) are common, and meant whole.
    found.push([name, lexer.peek() === '"' ? lexer.quotedString() : lexer.word(tokenStops)]);
  }
  return found.some(([name]) => name.includes('*')) ? joinContinuations(found) : found;
}

type Piece = { readonly index: number; readonly extended: boolean; readonly value: string };

/**
 * RFC 2231 section 6: `name*0*=a; name*1=b` is shown as `name*` with both values. Charset and percent
 * encoding stay, for the client to decode; pieces without an asterisk at their end are encoded to match.
 */
function joinContinuations(parameters: readonly Parameter[]): readonly Parameter[] {
  const whole: Parameter[] = [];
  const split = new Map<string, { readonly name: string; readonly pieces: Piece[] }>();
  for (const [name, value] of parameters) {
    const match = /^([^*]+)\*(\d{1,4})(\*?)$/.exec(name);
    if (!match) {
      whole.push([name, value]);
      continue;
    }
    const [, base = '', index, star] = match;
    const known = split.get(base.toLowerCase()) ?? { name: base, pieces: [] };
    known.pieces.push({ index: Number(index), extended: star === '*', value });
    split.set(base.toLowerCase(), known);
  }
  const joined = [...split.values()].map(({ name, pieces }): Parameter => joinPieces(name, pieces));
  joined.sort(([a], [b]) => (a < b ? -1 : 1));
  return [...whole, ...joined];
}

function joinPieces(name: string, pieces: readonly Piece[]): Parameter {
  const ordered = pieces.toSorted((a, b) => a.index - b.index);
  if (!ordered.some((piece) => piece.extended)) return [name, ordered.map((piece) => piece.value).join('')];
  const values = ordered.map((piece) => (piece.extended ? piece.value : percentEncoded(piece.value)));
  // Only a first piece that is encoded names charset and language; else both are empty (RFC 2231 section 4).
  return [`${name}*`, (ordered[0]?.extended ? '' : "''") + values.join('')];
}

/** RFC 2231 section 7 "attribute-char" stays as it is. */
function percentEncoded(value: string): string {
  return value.replaceAll(
    /[^\w!#$&+.^`{|}~-]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
}

/**
 * Atoms and strings, RFC 3501 section 9. Values are byte strings, one code unit a byte, as they came: what they
 * mean is decoded where the grammar says so.
 */
import { type Scanner, SyntaxFault } from '#shared/text/scanner.ts';

/** The text ends behind the announcement of a literal: right so far, and its bytes are yet to come. */
export class LiteralPending extends SyntaxFault {
  override readonly name = 'LiteralPending';
}

const notAtomChar = new Set(Array.from('(){ %*"\\]', (c) => c.charCodeAt(0)));

/** RFC 3501 section 9 "ATOM-CHAR". */
export function isAtomChar(code: number): boolean {
  return code > 0x20 && code < 0x7f && !notAtomChar.has(code);
}

/** RFC 3501 section 9 "ASTRING-CHAR". */
export function isAstringChar(code: number): boolean {
  return isAtomChar(code) || code === 0x5d;
}

export function atom(s: Scanner, rule = 'atom'): string {
  const value = s.takeWhile(isAtomChar);
  return value === '' ? s.fail(rule) : value;
}

/** An atom that is compared without case, in capitals. */
export function keyword(s: Scanner, rule: string): string {
  return atom(s, rule).toUpperCase();
}

export function sp(s: Scanner): void {
  s.expect(' ', 'SP');
}

/** string = quoted / literal */
export function string(s: Scanner, rule = 'string'): string {
  if (s.startsWith('"')) return quoted(s);
  if (s.startsWith('{')) return literal(s);
  return s.fail(rule);
}

/** nstring = string / nil */
export function nstring(s: Scanner): string | null {
  return s.takeWord('NIL') ? null : string(s, 'nstring');
}

/** astring = 1*ASTRING-CHAR / string */
export function astring(s: Scanner, rule = 'astring'): string {
  const value = s.takeWhile(isAstringChar);
  return value === '' ? string(s, rule) : value;
}

/**
 * quoted = DQUOTE *QUOTED-CHAR DQUOTE. Bytes above 127 are let through, as RFC 9051 has it: clients send names
 * and passwords so.
 */
function quoted(s: Scanner): string {
  const found = s.match(/"((?:[^"\\\r\n\0]|\\["\\])*)"/y);
  if (!found) return s.fail('quoted');
  return (found[1] ?? '').replaceAll(/\\(.)/g, '$1');
}

/** literal = "{" number ["+"] "}" CRLF *CHAR8 (RFC 7888 for "+"). */
function literal(s: Scanner): string {
  const bytes = literalHead(s);
  if (bytes === null) return s.fail('literal');
  const value = s.takeCount(bytes);
  if (value === null) throw new LiteralPending('literal', s.offset);
  if (value.includes('\0')) return s.fail('a literal without NUL');
  return value;
}

/** The announcement of a literal, in bytes; null when there is none. */
export function literalHead(s: Scanner): number | null {
  const found = s.match(/\{(\d+)\+?\}\r?\n/y);
  return found ? Number(found[1]) : null;
}

export function formatQuoted(value: string): string {
  return `"${value.replaceAll(/["\\]/g, '\\$&')}"`;
}

/** Quoted where it can be (7-bit, one line, not long), else a literal. */
export function formatString(value: string): string {
  if (value.length <= 1000 && /^[\x20-\x7e]*$/.test(value)) return formatQuoted(value);
  return `{${value.length}}\r\n${value}`;
}

export function formatNstring(value: string | null): string {
  return value === null ? 'NIL' : formatString(value);
}

/**
 * An atom where that is sure to be read as one, else a string. Clients stumble over atoms with brackets, over
 * those that begin like a number, and over NIL wherever it stands.
 */
export function formatAstring(value: string): string {
  const isPlain = /^[A-Za-z][A-Za-z0-9&+,./_-]*$/.test(value) && value.toUpperCase() !== 'NIL';
  return isPlain ? value : formatString(value);
}

/** Parsed data of IMAP responses, so that a literal and a quoted string of the same bytes are equal. */

/** Strings, and atoms as `{ atom }`; NIL is null, numbers are numbers. */
export type ImapValue = null | number | string | { readonly atom: string } | readonly ImapValue[];

/** All values of a text, such as the inside of a FETCH response; a binary string. Throws on what isn't IMAP. */
export function parseImapValues(text: string): readonly ImapValue[] {
  const cursor = { text, at: 0 };
  const values: ImapValue[] = [];
  while (cursor.at < text.length) {
    if (text[cursor.at] === ' ') cursor.at++;
    else values.push(parseValue(cursor));
  }
  return values;
}

/** The items of one `* n FETCH (…)` response by their names, sections included. */
export function parseFetch(response: string): ReadonlyMap<string, ImapValue> {
  const match = /^\* \d+ FETCH /.exec(response);
  const list = match && parseImapValues(response.slice(match[0].length))[0];
  if (!Array.isArray(list)) throw new Error(`no FETCH response: ${response.slice(0, 100)}`);
  const items = new Map<string, ImapValue>();
  for (let n = 0; n + 1 < list.length; n += 2) {
    const name = list[n] as ImapValue;
    if (name === null || typeof name !== 'object' || !('atom' in name)) throw new Error('an item has no name');
    items.set(name.atom, list[n + 1] as ImapValue);
  }
  return items;
}

type Cursor = { readonly text: string; at: number };

function parseValue(cursor: Cursor): ImapValue {
  const { text } = cursor;
  const first = text[cursor.at];
  if (first === '(') {
    cursor.at++;
    const values: ImapValue[] = [];
    while (text[cursor.at] !== ')') {
      if (cursor.at >= text.length) throw new Error('a list is open');
      if (text[cursor.at] === ' ') cursor.at++;
      else values.push(parseValue(cursor));
    }
    cursor.at++;
    return values;
  }
  if (first === '"') return quoted(cursor);
  if (first === '{') return literal(cursor);
  return atom(cursor);
}

function quoted(cursor: Cursor): string {
  let value = '';
  for (cursor.at++; cursor.text[cursor.at] !== '"'; cursor.at++) {
    if (cursor.text[cursor.at] === '\\') cursor.at++;
    const character = cursor.text[cursor.at];
    if (character === undefined || '\r\n'.includes(character)) throw new Error('a quoted string is open');
    if (character > '\x7f') throw new Error('a quoted string holds 8-bit bytes');
    value += character;
  }
  cursor.at++;
  return value;
}

function literal(cursor: Cursor): string {
  const match = /^\{(\d+)\}\r\n/.exec(cursor.text.slice(cursor.at, cursor.at + 20));
  if (!match) throw new Error('a literal has no size');
  const from = cursor.at + match[0].length;
  cursor.at = from + Number(match[1]);
  if (cursor.at > cursor.text.length) throw new Error('a literal is cut');
  return cursor.text.slice(from, cursor.at);
}

/** Up to a delimiter; what stands in brackets belongs to it: BODY[HEADER.FIELDS (A B)]. */
function atom(cursor: Cursor): ImapValue {
  const match = /^(?:[^ ()"{[]|\[[^\]]*\])+/.exec(cursor.text.slice(cursor.at, cursor.at + 4096));
  if (!match) throw new Error(`no value at ${cursor.at}`);
  cursor.at += match[0].length;
  if (match[0].toUpperCase() === 'NIL') return null;
  return /^\d+$/.test(match[0]) ? Number(match[0]) : { atom: match[0] };
}

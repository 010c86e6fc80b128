import { FieldLexer } from './field-lexer.ts';
import { nstring } from './imap-string.ts';

/**
 * RFC 3501 section 7.4.2 "address structure". A group begins with `host` null and its name as `mailbox`, and
 * ends with both null. A part that an address lacks is empty, not null.
 */
export type ImapAddress = {
  readonly name: string | null;
  /** RFC 5322 section 4.4 "obs-route", without its last colon. */
  readonly route: string | null;
  readonly mailbox: string | null;
  readonly host: string | null;
};

const groupEnd: ImapAddress = { name: null, route: null, mailbox: null, host: null };
/** RFC 5321 section 4.5.3.1.3: a path has at most 256 bytes; some slack for white space. */
const maxRouteLength = 1000;
const phraseStops = '"(,;:<>@';

/**
 * RFC 5322 section 3.4 "address-list" with the obsolete syntax of section 4.4; never refuses. Empty elements
 * are skipped. `text` is unfolded. Reads at most `limit` addresses; what follows them is left out.
 */
export function parseAddressList(text: string, limit: number): ImapAddress[] {
  const lexer = new FieldLexer(text);
  const found: ImapAddress[] = [];
  let inGroup = false;
  while (found.length < limit) {
    lexer.comment = null;
    lexer.skipCfws();
    if (lexer.done) break;
    if (lexer.take(',') || lexer.take('>')) continue;
    if (lexer.take(';')) {
      if (inGroup) found.push(groupEnd);
      inGroup = false;
      continue;
    }
    const phrase = readPhrase(lexer);
    if (lexer.peek() === ':' && !inGroup) {
      lexer.position++;
      inGroup = true;
      found.push({ name: null, route: null, mailbox: phrase.text, host: null });
    } else found.push(readMailbox(lexer, phrase));
  }
  if (inGroup) found.push(groupEnd);
  return found;
}

/** RFC 3501 section 9: "(" 1*address ")" / nil. */
export function formatAddressList(addresses: readonly ImapAddress[]): string {
  if (addresses.length === 0) return 'NIL';
  const formatted = addresses.map(
    ({ name, route, mailbox, host }) => `(${nstring(name)} ${nstring(route)} ${nstring(mailbox)} ${nstring(host)})`,
  );
  return `(${formatted.join('')})`;
}

type Phrase = { readonly text: string; readonly words: number; readonly dotted: string };

/** Words up to a delimiter: as a display name, with one space for each gap, and as a local part, with none. */
function readPhrase(lexer: FieldLexer): Phrase {
  const pieces: string[] = [];
  const gaps: boolean[] = [];
  let words = 0;
  let gap = false;
  while (!lexer.done) {
    const before = lexer.position;
    const quoted = lexer.peek() === '"';
    const piece = quoted ? lexer.quotedString() : lexer.word(phraseStops);
    if (lexer.position === before) break;
    // Words that a dot or nothing parts are one: "joe . blow" is a local part (RFC 5322 section 4.4).
    const last = pieces.at(-1);
    if (last === undefined || (gap && !last.endsWith('.') && !piece.startsWith('.'))) words++;
    pieces.push(piece);
    gaps.push(gap);
    gap = lexer.skipCfws();
  }
  const text = pieces.map((piece, index) => (gaps[index] === true && index > 0 ? ` ${piece}` : piece)).join('');
  return { text, words, dotted: pieces.join('') };
}

function readMailbox(lexer: FieldLexer, phrase: Phrase): ImapAddress {
  const name = phrase.words === 0 ? null : phrase.text;
  if (lexer.take('<')) {
    const address = readAngleAddress(lexer);
    skipToNext(lexer);
    return { name, ...address };
  }
  if (lexer.take('@')) {
    const host = readDomain(lexer);
    const comment = lexer.comment;
    skipToNext(lexer);
    // RFC 5322 section 3.4: a comment after the address was once the place of the display name.
    if (phrase.words <= 1) return { name: comment, route: null, mailbox: phrase.dotted, host };
    const cut = phrase.text.lastIndexOf(' ');
    return { name: phrase.text.slice(0, cut), route: null, mailbox: phrase.text.slice(cut + 1), host };
  }
  const comment = lexer.comment;
  skipToNext(lexer);
  if (phrase.words > 1) return { name, route: null, mailbox: '', host: '' };
  return { name: comment, route: null, mailbox: phrase.dotted, host: '' };
}

/** RFC 5322 section 3.4 "angle-addr" behind its `<`, with the route of section 4.4. */
function readAngleAddress(lexer: FieldLexer): Omit<ImapAddress, 'name'> {
  let route: string | null = null;
  while (lexer.skipCfws() || lexer.take('<'));
  if (lexer.peek() === '@') {
    const ahead = lexer.text.slice(lexer.position, lexer.position + maxRouteLength);
    const match = /^[^:>]*:/.exec(ahead);
    if (match) {
      route = match[0].slice(0, -1).replaceAll(/[ \t]+/g, '');
      lexer.position += match[0].length;
      lexer.skipCfws();
    }
  }
  let mailbox = '';
  for (;;) {
    const before = lexer.position;
    mailbox += lexer.peek() === '"' ? lexer.quotedString() : lexer.word('"(,;@>');
    lexer.skipCfws();
    if (lexer.position === before) break;
  }
  return { route, mailbox, host: lexer.take('@') ? readDomain(lexer) : '' };
}

/** RFC 5322 section 3.4.1 "domain": white space around its dots is not part of it. */
function readDomain(lexer: FieldLexer): string {
  let domain = '';
  while (lexer.skipCfws() || lexer.take('@'));
  for (;;) {
    const before = lexer.position;
    if (lexer.peek() === '[') domain += lexer.domainLiteral();
    else domain += lexer.word('"(,;<>[');
    const gap = lexer.skipCfws();
    if (lexer.position === before) return domain;
    if (gap && !domain.endsWith('.') && lexer.peek() !== '.') return domain;
  }
}

/** What is left of a broken address, up to the next delimiter, is passed over. */
function skipToNext(lexer: FieldLexer): void {
  lexer.take('>');
  for (;;) {
    lexer.skipCfws();
    if (lexer.done || lexer.peek() === ',' || lexer.peek() === ';') return;
    if (lexer.peek() === '"') lexer.quotedString();
    else lexer.position++;
  }
}

import { flagBits } from '#server/mail/flags.ts';
import { maxImapNesting } from '#shared/base/limits.ts';
import type { Scanner } from '#shared/text/scanner.ts';
import { astring, isAtomChar, sp } from './astring.ts';
import { charsetDecoder, type Decode, decodeUtf8 } from './charset.ts';
import type { SearchKey } from './command.ts';
import { date } from './date-time.ts';
import { flagKeyword } from './flag-list.ts';
import { sequenceSet } from './sequence-set.ts';

/** Where a key stands: how its strings are decoded, and how many NOT and parentheses are around it. */
type Context = { readonly decode: Decode; readonly depth: number };

/** search = ["CHARSET" SP astring SP] search-key *(SP search-key)   (RFC 3501 sections 6.4.4 and 9) */
export function searchProgram(s: Scanner): SearchKey {
  let decode = decodeUtf8;
  if (s.takeWord('CHARSET ')) {
    decode = charsetDecoder(s, astring(s, 'charset'));
    sp(s);
  }
  return searchKeys(s, { decode, depth: 0 });
}

/** search-key *(SP search-key), all of which have to hold. */
function searchKeys(s: Scanner, context: Context): SearchKey {
  const keys: SearchKey[] = [];
  // A space may also stand at the end of the command.
  do keys.push(searchKey(s, context));
  while (s.match(/ (?! *$)/y));
  const [only] = keys;
  return only && keys.length === 1 ? only : { kind: 'AND', keys };
}

function searchKey(s: Scanner, context: Context): SearchKey {
  if (s.startsWith('(')) {
    const inner = deeper(s, context);
    s.take('(');
    const keys = searchKeys(s, inner);
    s.expect(')', '")" of search-key');
    return keys;
  }
  const first = s.peek();
  if (first === 0x2a || (first >= 0x30 && first <= 0x39)) return { kind: 'sequence', set: sequenceSet(s) };
  return namedKey(s, s.takeWhile(isAtomChar).toUpperCase(), context);
}

function deeper(s: Scanner, { decode, depth }: Context): Context {
  if (depth === maxImapNesting) s.fail(`at most ${maxImapNesting} search keys inside one another`);
  return { decode, depth: depth + 1 };
}

function namedKey(s: Scanner, name: string, context: Context): SearchKey {
  const flag = flagKeys.get(name);
  if (flag) return flag;
  const field = fieldKeys.get(name);
  if (field !== undefined) return { kind: 'header', name: field, contains: text(s, context) };
  const day = dateKeys.get(name);
  if (day) {
    sp(s);
    return { ...day, day: date(s) };
  }
  switch (name) {
    case 'ALL':
    case 'NEW':
    case 'OLD':
    case 'RECENT':
      return { kind: name };
    case 'KEYWORD':
    case 'UNKEYWORD':
      sp(s);
      return { kind: 'keyword', keyword: flagKeyword(s), set: name === 'KEYWORD' };
    case 'HEADER': {
      sp(s);
      const field = context.decode(astring(s, 'header-fld-name')) ?? s.fail('text in the charset before this');
      return { kind: 'header', name: field, contains: text(s, context) };
    }
    case 'BODY':
    case 'TEXT':
      return { kind: name, contains: text(s, context) };
    case 'LARGER':
    case 'SMALLER':
      sp(s);
      return { kind: name, bytes: s.number() };
    case 'UID':
      sp(s);
      return { kind: 'UID', set: sequenceSet(s) };
    case 'NOT': {
      const inner = deeper(s, context);
      sp(s);
      return { kind: 'NOT', key: searchKey(s, inner) };
    }
    case 'OR':
      return or(s, context);
    default:
      return s.fail('a search-key of RFC 3501 before this');
  }
}

/**
 * "OR" SP search-key SP search-key. Clients chain hundreds ("OR a OR b OR c d"), so a chain is read in a
 * loop and, as it means the same, made a tree that is only as deep as it must be.
 */
function or(s: Scanner, context: Context): SearchKey {
  const inner = deeper(s, context);
  const keys: SearchKey[] = [];
  for (let missing = 2; missing > 0;) {
    sp(s);
    if (s.match(/OR(?= )/iy)) missing++;
    else {
      keys.push(searchKey(s, inner));
      missing--;
    }
  }
  return anyOf(keys, 0, keys.length);
}

/** `keys` from `start` to `end` (exclusive), at least one. */
function anyOf(keys: readonly SearchKey[], start: number, end: number): SearchKey {
  if (end - start === 1) return keys[start] as SearchKey;
  const middle = (start + end) >> 1;
  return { kind: 'OR', keys: [anyOf(keys, start, middle), anyOf(keys, middle, end)] };
}

function text(s: Scanner, { decode }: Context): string {
  sp(s);
  return decode(astring(s)) ?? s.fail('text in the charset before this');
}

const flagKeys: ReadonlyMap<string, SearchKey> = new Map(
  Object.entries(flagBits).flatMap(([name, flag]): [string, SearchKey][] => [
    [name.toUpperCase(), { kind: 'flag', flag, set: true }],
    [`UN${name.toUpperCase()}`, { kind: 'flag', flag, set: false }],
  ]),
);

/** RFC 3501 section 6.4.4: the fields that have a key of their own. */
const fieldKeys: ReadonlyMap<string, string> = new Map(
  ['Bcc', 'Cc', 'From', 'Subject', 'To'].map((field) => [field.toUpperCase(), field]),
);

type DayKey = Extract<SearchKey, { day: string }>;

const dateKeys: ReadonlyMap<string, Omit<DayKey, 'day'>> = new Map(
  (['before', 'on', 'since'] as const).flatMap((is): [string, Omit<DayKey, 'day'>][] => [
    [is.toUpperCase(), { kind: 'internal-date', is }],
    [`SENT${is.toUpperCase()}`, { kind: 'sent-date', is }],
  ]),
);

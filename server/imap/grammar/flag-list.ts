import { flagBits, type FlagBits, type SystemFlag } from '#server/mail/flags.ts';
import { maxKeywordBytes } from '#shared/base/limits.ts';
import type { Scanner } from '#shared/text/scanner.ts';
import { atom, sp } from './astring.ts';
import type { FlagList } from './command.ts';

const systemFlags: readonly (readonly [spelling: string, bit: FlagBits])[] = (
  ['answered', 'flagged', 'deleted', 'seen', 'draft'] satisfies SystemFlag[]
).map((name) => [`\\${name[0]?.toUpperCase()}${name.slice(1)}`, flagBits[name]]);

const bitOf = new Map(systemFlags.map(([spelling, bit]) => [spelling.slice(1).toUpperCase(), bit]));

/** flag-list = "(" [flag *(SP flag)] ")"   (RFC 3501 section 9) */
export function flagList(s: Scanner): FlagList {
  s.expect('(', 'flag-list');
  if (s.take(')')) return { flags: 0, keywords: [] };
  const list = flags(s);
  s.expect(')', '")" of flag-list');
  return list;
}

/**
 * flag *(SP flag). \Recent is the server's alone (RFC 3501 section 2.3.2), and no "flag-extension" is defined:
 * both are refused. Keywords that differ in case only count once, as first spelled.
 */
function flags(s: Scanner): FlagList {
  let bits = 0;
  const keywords = new Map<string, string>();
  do {
    if (s.take('\\')) {
      bits |= bitOf.get(atom(s, 'system flag').toUpperCase()) ?? s.fail('a system flag that can be set before this');
    } else {
      const keyword = flagKeyword(s);
      const folded = keyword.toLowerCase();
      if (!keywords.has(folded)) keywords.set(folded, keyword);
    }
  } while (s.take(' '));
  return { flags: bits, keywords: [...keywords.values()] };
}

/** flag-keyword = atom */
export function flagKeyword(s: Scanner): string {
  const keyword = atom(s, 'flag-keyword');
  return keyword.length > maxKeywordBytes ? s.fail(`flag-keyword of at most ${maxKeywordBytes} bytes`) : keyword;
}

/** The flags as FETCH, FLAGS and PERMANENTFLAGS name them, without \Recent. */
export function flagNames({ flags, keywords }: FlagList): readonly string[] {
  return [...systemFlags.filter(([, bit]) => (flags & bit) !== 0).map(([spelling]) => spelling), ...keywords];
}

export function formatFlagList(list: FlagList): string {
  return `(${flagNames(list).join(' ')})`;
}

/** STORE's arguments behind the set: ["+" / "-"] "FLAGS" [".SILENT"] SP (flag-list / (flag *(SP flag))). */
export function storeAttFlags(s: Scanner): {
  readonly mode: 'add' | 'remove' | 'replace';
  readonly silent: boolean;
  readonly list: FlagList;
} {
  const mode = s.take('+') ? 'add' : s.take('-') ? 'remove' : 'replace';
  if (!s.takeWord('FLAGS')) s.fail('store-att-flags');
  const silent = s.takeWord('.SILENT');
  sp(s);
  return { mode, silent, list: s.startsWith('(') ? flagList(s) : flags(s) };
}

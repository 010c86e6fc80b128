import { type FlagBits, flagBits } from '#server/mail/flags.ts';
import { formatAstring } from './astring.ts';
import type { SearchKey } from './command.ts';
import { formatDate } from './date-time.ts';
import { formatSequenceSet } from './sequence-set.ts';

/** search-key (RFC 3501 section 9) as a client writes it, in UTF-8; several keys that all have to hold stand in parentheses. */
export function formatSearchKey(key: SearchKey): string {
  switch (key.kind) {
    case 'flag':
      return `${key.set ? '' : 'UN'}${flagName(key.flag)}`;
    case 'keyword':
      return `${key.set ? '' : 'UN'}KEYWORD ${key.keyword}`;
    case 'header':
      return `HEADER ${utf8Astring(key.name)} ${utf8Astring(key.contains)}`;
    case 'BODY':
    case 'TEXT':
      return `${key.kind} ${utf8Astring(key.contains)}`;
    case 'internal-date':
      return `${key.is.toUpperCase()} ${formatDate(key.day)}`;
    case 'sent-date':
      return `SENT${key.is.toUpperCase()} ${formatDate(key.day)}`;
    case 'LARGER':
    case 'SMALLER':
      return `${key.kind} ${key.bytes}`;
    case 'UID':
      return `UID ${formatSequenceSet(key.set)}`;
    case 'sequence':
      return formatSequenceSet(key.set);
    case 'NOT':
      return `NOT ${formatSearchKey(key.key)}`;
    case 'OR':
      return `OR ${key.keys.map(formatSearchKey).join(' ')}`;
    case 'AND':
      return `(${key.keys.map(formatSearchKey).join(' ')})`;
    default:
      return key.kind;
  }
}

function flagName(flag: FlagBits): string {
  return (
    Object.entries(flagBits)
      .find(([, bit]) => bit === flag)?.[0]
      .toUpperCase() ?? ''
  );
}

/** The text in UTF-8, as an atom, quoted or a literal. */
export function utf8Astring(text: string): string {
  return formatAstring(Buffer.from(text).toString('latin1'));
}

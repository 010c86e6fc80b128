/** Response codes: RFC 3501 section 7.1, RFC 4315 section 3, RFC 5530, RFC 6154 section 3. */
import { formatUidSet, type UidSet } from '#server/mail/uid-set.ts';
import { unreachable } from '#shared/base/unreachable.ts';
import type { FlagList } from './command.ts';
import { flagNames } from './flag-list.ts';

/** Codes without arguments. TOOBIG is RFC 7889's, USEATTR RFC 6154's, CLOSED RFC 7162's, HASCHILDREN RFC 9051's. */
type BareResponseCode =
  | 'ALERT'
  | 'ALREADYEXISTS'
  | 'AUTHENTICATIONFAILED'
  | 'AUTHORIZATIONFAILED'
  | 'CANNOT'
  | 'CLIENTBUG'
  | 'CLOSED'
  | 'CONTACTADMIN'
  | 'EXPIRED'
  | 'EXPUNGEISSUED'
  | 'HASCHILDREN'
  | 'INUSE'
  | 'LIMIT'
  | 'NONEXISTENT'
  | 'NOPERM'
  | 'OVERQUOTA'
  | 'PARSE'
  | 'PRIVACYREQUIRED'
  | 'READ-ONLY'
  | 'READ-WRITE'
  | 'SERVERBUG'
  | 'TOOBIG'
  | 'TRYCREATE'
  | 'UIDNOTSTICKY'
  | 'UNAVAILABLE'
  | 'USEATTR';

export type ResponseCode =
  | BareResponseCode
  | { readonly code: 'BADCHARSET' }
  | { readonly code: 'CAPABILITY'; readonly capabilities: readonly string[] }
  /** `more`: keywords that aren't there yet can be made (`\*`). */
  | { readonly code: 'PERMANENTFLAGS'; readonly list: FlagList; readonly more: boolean }
  | { readonly code: 'UIDNEXT' | 'UIDVALIDITY' | 'UNSEEN'; readonly number: number }
  | { readonly code: 'APPENDUID'; readonly uidValidity: number; readonly uids: UidSet }
  | { readonly code: 'COPYUID'; readonly uidValidity: number; readonly source: UidSet; readonly destination: UidSet };

/** What stands between the brackets. */
export function formatResponseCode(code: ResponseCode): string {
  if (typeof code === 'string') return code;
  switch (code.code) {
    case 'BADCHARSET':
      return 'BADCHARSET (US-ASCII UTF-8)';
    case 'CAPABILITY':
      return `CAPABILITY ${code.capabilities.join(' ')}`;
    case 'PERMANENTFLAGS':
      return `PERMANENTFLAGS (${[...flagNames(code.list), ...(code.more ? ['\\*'] : [])].join(' ')})`;
    case 'UIDNEXT':
    case 'UIDVALIDITY':
    case 'UNSEEN':
      return `${code.code} ${code.number}`;
    case 'APPENDUID':
      return `APPENDUID ${code.uidValidity} ${formatUidSet(code.uids)}`;
    case 'COPYUID':
      return `COPYUID ${code.uidValidity} ${formatUidSet(code.source)} ${formatUidSet(code.destination)}`;
    default:
      return unreachable(code);
  }
}

/**
 * What the server sends (RFC 3501 section 7), one function a response, each with its CRLF. Binary strings: one
 * code unit below 256 stands for one byte, so they are written as latin1. The words of FETCH items are here,
 * their values come from the store ready-made or are streamed between them.
 */
import type { FlagBits } from '#server/mail/flags.ts';
import { delimiter } from '#server/mail/mailbox.ts';
import { formatNstring, formatQuoted, formatString } from './astring.ts';
import type { FlagList, StatusItem } from './command.ts';
import { flagNames, formatFlagList } from './flag-list.ts';
import { formatMailbox } from './mailbox-name.ts';
import { formatResponseCode, type ResponseCode } from './response-code.ts';

export type Condition = 'OK' | 'NO' | 'BAD' | 'BYE' | 'PREAUTH';

/** RFC 3501 section 7.1. `tag` null: untagged. What is not printable ASCII in `text` is sent as '?'. */
export function conditionResponse(tag: string | null, condition: Condition, text: string, code?: ResponseCode): string {
  const bracketed = code === undefined ? '' : `[${formatResponseCode(code)}] `;
  return `${tag ?? '*'} ${condition} ${bracketed}${respText(text)}\r\n`;
}

/** RFC 3501 section 7.5. `text` is base64 of a challenge, perhaps empty, or a word for people. */
export function continueResponse(text: string): string {
  return `+ ${text}\r\n`;
}

/** RFC 3501 section 9 "text": at least one TEXT-CHAR; a "[" at its start would begin a response code. */
function respText(text: string): string {
  const printable = text.replaceAll(/[^\x20-\x7e]/g, '?');
  return printable === '' || printable.startsWith('[') ? `. ${printable}`.trimEnd() : printable;
}

export function capabilityResponse(capabilities: readonly string[]): string {
  return `* CAPABILITY ${capabilities.join(' ')}\r\n`;
}

/** RFC 5161 section 3.2; with no capability where none was enabled. */
export function enabledResponse(capabilities: readonly string[]): string {
  return `* ${['ENABLED', ...capabilities].join(' ')}\r\n`;
}

/** RFC 2971 section 3.2; null is NIL. Values are ASCII. */
export function idResponse(fields: ReadonlyMap<string, string | null> | null): string {
  if (!fields) return '* ID NIL\r\n';
  return `* ID (${[...fields].map(([name, value]) => `${formatString(name)} ${formatNstring(value)}`).join(' ')})\r\n`;
}

/** RFC 2342 section 5: one personal namespace without a prefix, and no others. */
export function namespaceResponse(): string {
  return `* NAMESPACE (("" ${formatQuoted(delimiter)})) NIL NIL\r\n`;
}

/**
 * RFC 3501 sections 7.2.2 and 7.2.3, RFC 5258 section 6. `attributes` with backslashes, in the order given.
 */
export function listResponse(verb: 'LIST' | 'LSUB', attributes: readonly string[], name: string): string {
  return `* ${verb} (${attributes.join(' ')}) ${formatQuoted(delimiter)} ${formatMailbox(name)}\r\n`;
}

/** RFC 3501 section 6.3.8: the answer to an empty pattern, the delimiter and the root of the names. */
export function listRootResponse(verb: 'LIST' | 'LSUB'): string {
  return `* ${verb} (\\Noselect) ${formatQuoted(delimiter)} ""\r\n`;
}

/** RFC 3501 section 7.2.4. */
export function statusResponse(name: string, items: readonly (readonly [StatusItem, number])[]): string {
  return `* STATUS ${formatMailbox(name)} (${items.map(([item, value]) => `${item} ${value}`).join(' ')})\r\n`;
}

/** RFC 3501 section 7.2.6: the flags that can be in this mailbox. */
export function flagsResponse(list: FlagList): string {
  return `* FLAGS ${formatFlagList(list)}\r\n`;
}

/** RFC 3501 section 7.2.5: sequence numbers or UIDs. */
export function searchResponse(numbers: readonly number[]): string {
  return numbers.length === 0 ? '* SEARCH\r\n' : `* SEARCH ${numbers.join(' ')}\r\n`;
}

/** RFC 3501 sections 7.3.1, 7.3.2 and 7.4.1: a count, or the sequence number that went. */
export function numberResponse(number: number, verb: 'EXISTS' | 'RECENT' | 'EXPUNGE'): string {
  return `* ${number} ${verb}\r\n`;
}

/** The beginning of RFC 3501 section 7.4.2's FETCH; items follow with spaces between, then `fetchEnd`. */
export function fetchBegin(sequenceNumber: number): string {
  return `* ${sequenceNumber} FETCH (`;
}

export const fetchEnd = ')\r\n';

/** Of messages without keywords: few, and asked for again and again. */
const plainFetchFlags = new Map<number, string>();
const recentBit = 0x1_0000;

/** The FLAGS item of FETCH. */
export function formatFetchFlags(flags: FlagBits, keywords: readonly string[], isRecent: boolean): string {
  if (keywords.length > 0) return composeFetchFlags(flags, keywords, isRecent);
  const key = isRecent ? flags | recentBit : flags;
  const known = plainFetchFlags.get(key) ?? composeFetchFlags(flags, keywords, isRecent);
  plainFetchFlags.set(key, known);
  return known;
}

function composeFetchFlags(flags: FlagBits, keywords: readonly string[], isRecent: boolean): string {
  return `FLAGS (${[...flagNames({ flags, keywords }), ...(isRecent ? ['\\Recent'] : [])].join(' ')})`;
}

/** The announcement of a literal that the server sends; so many bytes follow. */
export function literalBegin(bytes: number): string {
  return `{${bytes}}\r\n`;
}

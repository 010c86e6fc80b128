/**
 * Mailbox names as the store keeps them: Unicode in NFC, levels joined by `delimiter`, INBOX in capitals
 * (RFC 3501 section 5.1, RFC 9051 section 5.1). Modified UTF-7 belongs to the IMAP grammar.
 */
import { maxMailboxLevels, maxMailboxNameBytes } from '#shared/base/limits.ts';
import { MailError } from './mail-error.ts';
import { delimiter } from './mailbox.ts';

export const inbox = 'INBOX';

/**
 * The one spelling under which a name is looked up; never refuses. INBOX is written in any case, also as
 * the first level of a longer name, so that `inbox/x` can't lie beside INBOX's own children.
 */
export function canonicalMailboxName(name: string): string {
  const composed = name.normalize('NFC');
  const level = firstLevel(composed);
  return asciiUpperCase(level) === inbox ? inbox + composed.slice(level.length) : composed;
}

/**
 * The canonical form of a name for a mailbox that is to be made. One delimiter at the end is dropped: the client
 * says by it that levels below will follow (RFC 3501 section 6.3.3).
 * MailError bad-mailbox-name: what it can't be, with the reason for the user.
 */
export function newMailboxName(name: string): string {
  const canonical = canonicalMailboxName(name.endsWith(delimiter) ? name.slice(0, -delimiter.length) : name);
  const reason = faultOf(canonical);
  if (reason !== null) throw new MailError({ kind: 'bad-mailbox-name', reason });
  return canonical;
}

/** The names of the levels above, the highest first: of a/b/c, a and a/b. */
export function parentsOf(name: string): readonly string[] {
  const parents: string[] = [];
  for (let at = name.indexOf(delimiter); at !== -1; at = name.indexOf(delimiter, at + 1)) {
    parents.push(name.slice(0, at));
  }
  return parents;
}

export function isBelow(name: string, parent: string): boolean {
  return name.startsWith(parent + delimiter);
}

function firstLevel(name: string): string {
  const end = name.indexOf(delimiter);
  return end === -1 ? name : name.slice(0, end);
}

function faultOf(name: string): string | null {
  if (name === '') return 'A mailbox name must not be empty';
  if (!name.isWellFormed()) return 'A mailbox name must be valid Unicode';
  // RFC 5198 section 2: no C0 or C1 controls, no line or paragraph separators.
  if (/[\p{Cc}\u2028\u2029]/u.test(name)) return 'A mailbox name must not have control characters';
  if (/[*%]/.test(name)) return 'A mailbox name must not have the wildcards * and %';
  if (Buffer.byteLength(name) > maxMailboxNameBytes) return `A mailbox name has at most ${maxMailboxNameBytes} bytes`;
  const levels = name.split(delimiter);
  if (levels.includes('')) return `A mailbox name must not have an empty level (the delimiter is ${delimiter})`;
  if (levels.length > maxMailboxLevels) return `A mailbox name has at most ${maxMailboxLevels} levels`;
  return null;
}

function asciiUpperCase(text: string): string {
  return text.replace(/[a-z]+/g, (letters) => letters.toUpperCase());
}

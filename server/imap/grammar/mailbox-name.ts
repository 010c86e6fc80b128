/** Mailbox names on the wire: modified UTF-7, RFC 3501 section 5.1.3. */
import { canonicalMailboxName } from '#server/mail/mailbox-name.ts';
import type { Scanner } from '#shared/text/scanner.ts';
import { astring, formatAstring, isAstringChar, string } from './astring.ts';

/** Null: not modified UTF-7, or not as RFC 3501 section 5.1.3 wants it (the one way to write each name). */
export function decodeModifiedUtf7(bytes: string): string | null {
  if (!/^[\x20-\x7e]*$/.test(bytes)) return null;
  if (!bytes.includes('&')) return bytes;
  const name = bytes.replaceAll(/&([A-Za-z0-9+,]*)-/g, (_, coded: string) =>
    coded === '' ? '&' : decodeUtf16(Buffer.from(coded.replaceAll(',', '/'), 'base64')),
  );
  // Unterminated shifts, superfluous ones, padding bits and ASCII in base64 all come back as something else.
  return name.isWellFormed() && !name.includes('\0') && encodeModifiedUtf7(name) === bytes ? name : null;
}

function decodeUtf16(bigEndian: Buffer): string {
  const units = bigEndian.subarray(0, bigEndian.length & ~1);
  return units.swap16().toString('utf16le');
}

/** A lone surrogate, which no name has, would be written as U+FFFD. */
export function encodeModifiedUtf7(name: string): string {
  return name.toWellFormed().replaceAll(/&|[^\x20-\x7e]+/g, (run) => {
    if (run === '&') return '&-';
    const coded = Buffer.from(run, 'utf16le').swap16().toString('base64');
    return `&${coded.replaceAll('/', ',').replaceAll('=', '')}-`;
  });
}

/** mailbox = "INBOX" / astring   (RFC 3501 section 9); in the store's form. */
export function mailbox(s: Scanner): string {
  return decoded(s, astring(s, 'mailbox'));
}

/** list-mailbox = 1*list-char / string; wildcards stay as they are. */
export function listMailbox(s: Scanner): string {
  const pattern = s.takeWhile(isListChar);
  return decoded(s, pattern === '' ? string(s, 'list-mailbox') : pattern);
}

/** list-char = ATOM-CHAR / list-wildcards / resp-specials */
function isListChar(code: number): boolean {
  return isAstringChar(code) || code === 0x25 || code === 0x2a;
}

function decoded(s: Scanner, bytes: string): string {
  return canonicalMailboxName(decodeModifiedUtf7(bytes) ?? s.fail('a mailbox name in modified UTF-7 before this'));
}

export function formatMailbox(name: string): string {
  return formatAstring(encodeModifiedUtf7(name));
}

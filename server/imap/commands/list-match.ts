/** Which names a LIST pattern means (RFC 3501 section 6.3.8): `*` any characters, `%` any but the delimiter. Pure. */
import { canonicalMailboxName, inbox, isBelow } from '#server/mail/mailbox-name.ts';
import { delimiter } from '#server/mail/mailbox.ts';

/** A reference ends where the pattern begins: "a/" and "b" as well as "a" and "/b" are "a/b". */
export function fullPattern(reference: string, pattern: string): string {
  return canonicalMailboxName(reference + pattern);
}

/**
 * Matches in time of name times pattern at most, whatever a client writes: a regular expression with many
 * wildcards could take exponential time. INBOX is found in any case (RFC 3501 section 5.1): by `inb*` too.
 */
export function matchesPattern(pattern: string, name: string): boolean {
  const insensitive = name === inbox || isBelow(name, inbox) ? inbox.length : 0;
  // Whether the pattern read so far matches the name's first n characters, for each n.
  let reached: boolean[] = Array.from({ length: name.length + 1 }, (_, n) => n === 0);
  for (const symbol of pattern.replaceAll(/[*%]+/g, (run) => (run.includes('*') ? '*' : '%'))) {
    if (!reached.includes(true)) return false;
    const next: boolean[] = Array.from({ length: name.length + 1 }, () => false);
    if (symbol === '*' || symbol === '%') {
      let isOpen = false;
      for (let n = 0; n <= name.length; n++) {
        if (n > 0 && symbol === '%' && name[n - 1] === delimiter) isOpen = false;
        isOpen ||= reached[n] === true;
        next[n] = isOpen;
      }
    } else {
      const capital = symbol >= 'a' && symbol <= 'z' ? symbol.toUpperCase() : symbol;
      for (let n = 0; n + symbol.length <= name.length; n++) {
        if (reached[n] === true && name.startsWith(n < insensitive ? capital : symbol, n))
          next[n + symbol.length] = true;
      }
    }
    reached = next;
  }
  return reached[name.length] === true;
}

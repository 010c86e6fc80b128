/** Which names a LIST pattern means (RFC 3501 section 6.3.8): `*` any characters, `%` any but the delimiter. Pure. */
import { canonicalMailboxName, inbox, isBelow } from '#server/mail/mailbox-name.ts';
import { delimiter } from '#server/mail/mailbox.ts';

const star = 0x2a;
const percent = 0x25;

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
  // Whether the pattern read so far matches the name's first n code units, for each n.
  let reached = new Uint8Array(name.length + 1);
  let next = new Uint8Array(name.length + 1);
  reached[0] = 1;
  const symbols = pattern.replaceAll(/[*%]+/g, (run) => (run.includes('*') ? '*' : '%'));
  for (let at = 0; at < symbols.length; at++) {
    const symbol = symbols.charCodeAt(at);
    const isReached = symbol === star || symbol === percent ? open(symbol) : step(symbol);
    if (!isReached) return false;
    [reached, next] = [next, reached];
  }
  return reached[name.length] === 1;

  function open(symbol: number): boolean {
    let isOpen = 0;
    for (let n = 0; n <= name.length; n++) {
      if (n > 0 && symbol === percent && name[n - 1] === delimiter) isOpen = 0;
      isOpen |= reached[n] ?? 0;
      next[n] = isOpen;
    }
    return true;
  }

  function step(symbol: number): boolean {
    const capital = symbol >= 0x61 && symbol <= 0x7a ? symbol - 0x20 : symbol;
    let isReached = false;
    next[0] = 0;
    for (let n = 0; n < name.length; n++) {
      const matches = reached[n] === 1 && name.charCodeAt(n) === (n < insensitive ? capital : symbol);
      next[n + 1] = matches ? 1 : 0;
      isReached ||= matches;
    }
    return isReached;
  }
}

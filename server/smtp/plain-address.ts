/**
 * MAIL and RCPT as nearly every client writes them, read at once. The library takes them apart in two dozen steps, which
 * for a message to many is what they cost.
 */

/** Shorter than what the library bounds: a path has 256 bytes (RFC 5321 section 4.5.3.1.3). */
const maxLineBytes = 250;
const path = String.raw`<([A-Za-z0-9_=+-]+(?:\.[A-Za-z0-9_=+-]+)*@[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*(?:\.[A-Za-z0-9]+(?:-+[A-Za-z0-9]+)*)*)>$`;
const lines = { 'mail from': new RegExp(`^MAIL FROM:${path}`), 'rcpt to': new RegExp(`^RCPT TO:${path}`) };
/** A label that the library decodes. */
const encodedLabel = /[@.]xn--/i;

/** The address of a line without parameters; null: it has some, is written otherwise, or wrong. */
export function plainAddress(name: string, line: Buffer): string | null {
  const form = lines[name as keyof typeof lines] as RegExp | undefined;
  if (form === undefined || line.length > maxLineBytes) return null;
  const address = form.exec(line.toString('latin1'))?.[1];
  return address === undefined || encodedLabel.test(address) ? null : address;
}

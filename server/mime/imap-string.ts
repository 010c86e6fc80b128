/**
 * RFC 3501 section 9 "nstring". Bytes that a quoted string can't hold (8-bit, CR, LF) make it a literal.
 * The value is a binary string without NUL.
 */
export function nstring(value: string | null): string {
  if (value === null) return 'NIL';
  if (/[\r\n\x80-\xff]/.test(value)) return `{${value.length}}\r\n${value}`;
  return /["\\]/.test(value) ? `"${value.replaceAll(/["\\]/g, '\\$&')}"` : `"${value}"`;
}

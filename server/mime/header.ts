/**
 * Fields of a header section (RFC 5322 section 2.2). A header is a binary string here: one code unit below
 * 256 stands for one byte, so nothing is lost in what isn't ASCII.
 */

/** A line has at most 998 bytes (RFC 5322 section 2.1.1), so a name that is longer is none. */
const maxNameLength = 1000;

/** One field: bytes `start` to `end` with its line break and folded lines; the value begins at `valueStart`. */
export type FieldSpan = {
  /** Lower case, without white space before the colon (RFC 5322 section 4.5.8); the whole line where it has no colon. */
  readonly name: string;
  readonly hasColon: boolean;
  readonly start: number;
  readonly valueStart: number;
  readonly end: number;
};

/** Walks over the fields of a header section; stops at its empty line or its end. */
export function* fieldSpans(header: string): Generator<FieldSpan, void, void> {
  let start = 0;
  while (start < header.length && !isEmptyLine(header, start)) {
    const end = fieldEnd(header, start);
    const colon = header.slice(start, Math.min(end, start + maxNameLength)).indexOf(':');
    const hasColon = colon >= 0;
    const name = trimBlanks(header.slice(start, hasColon ? start + colon : end)).toLowerCase();
    yield { name, hasColon, start, valueStart: hasColon ? start + colon + 1 : end, end };
    start = end;
  }
}

/** Raw values, with folds and the last line break, of the fields in `wanted` (lower case), in order. */
export function collectFields(header: string, wanted: ReadonlySet<string>): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const field of fieldSpans(header)) {
    if (!field.hasColon || !wanted.has(field.name)) continue;
    const values = found.get(field.name);
    const value = header.slice(field.valueStart, field.end);
    if (values) values.push(value);
    else found.set(field.name, [value]);
  }
  return found;
}

/**
 * One line, without white space around it: RFC 5322 section 2.2.3. A fold becomes one space, whatever white
 * space it was made of, so that folding with tabs doesn't show. NULs are dropped: IMAP strings can't hold them.
 */
export function unfold(raw: string): string {
  const text = trimBlanks(raw.includes('\0') ? raw.replaceAll('\0', '') : raw);
  return text.includes('\n') ? text.replaceAll(/\r?\n[ \t]*/g, ' ') : text;
}

/** As trim(), but of ASCII blanks only: byte A0 may be the end of a UTF-8 character. */
export function trimBlanks(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text.charCodeAt(start))) start++;
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--;
  return text.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09 || code === 0x0d || code === 0x0a;
}

/** The first byte after the field that begins at `start`: its line and the lines folded onto it. */
function fieldEnd(header: string, start: number): number {
  let at = start;
  for (;;) {
    const lf = header.indexOf('\n', at);
    if (lf < 0) return header.length;
    at = lf + 1;
    const next = header.charCodeAt(at);
    if (next !== 0x20 && next !== 0x09) return at;
  }
}

function isEmptyLine(header: string, start: number): boolean {
  return header[start] === '\n' || (header[start] === '\r' && header[start + 1] === '\n');
}

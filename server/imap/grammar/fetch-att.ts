import type { Scanner } from '#shared/text/scanner.ts';
import { astring, formatAstring, isAtomChar, sp } from './astring.ts';
import type { BodySection, FetchItem } from './command.ts';

type PlainItem = Exclude<FetchItem, { kind: 'BODY[]' }>;

const plainItems: ReadonlyMap<string, PlainItem> = new Map(
  (
    [
      'UID',
      'FLAGS',
      'INTERNALDATE',
      'RFC822.SIZE',
      'ENVELOPE',
      'BODYSTRUCTURE',
      'BODY',
      'RFC822',
      'RFC822.HEADER',
      'RFC822.TEXT',
    ] as const
  ).map((kind) => [kind, { kind }]),
);

const fast: readonly FetchItem[] = [{ kind: 'FLAGS' }, { kind: 'INTERNALDATE' }, { kind: 'RFC822.SIZE' }];
const all: readonly FetchItem[] = [...fast, { kind: 'ENVELOPE' }];

/** RFC 3501 section 6.4.5: each stands alone, not among others. */
const macros: ReadonlyMap<string, readonly FetchItem[]> = new Map([
  ['FAST', fast],
  ['ALL', all],
  ['FULL', [...all, { kind: 'BODY' }]],
]);

/**
 * "ALL" / "FULL" / "FAST" / fetch-att / "(" fetch-att *(SP fetch-att) ")"   (RFC 3501 section 9 "fetch")
 *
 * An item that is asked for twice is given once: a line holds enough of them to ask for a message 10,000 times.
 */
export function fetchAtts(s: Scanner): readonly FetchItem[] {
  if (!s.take('(')) {
    const name = attName(s);
    return macros.get(name) ?? [fetchAtt(s, name)];
  }
  const items = new Map<string, FetchItem>();
  do {
    const item = fetchAtt(s, attName(s));
    items.set(formatFetchItem(item), item);
  } while (s.take(' '));
  s.expect(')', '")" after fetch-att');
  return [...items.values()];
}

/** The letters of an item, in capitals, up to its section. */
function attName(s: Scanner): string {
  return s.takeWhile((code) => isAtomChar(code) && code !== 0x5b && code !== 0x3c).toUpperCase();
}

function fetchAtt(s: Scanner, name: string): FetchItem {
  if ((name === 'BODY' || name === 'BODY.PEEK') && s.take('[')) {
    const section = bodySection(s);
    s.expect(']', '"]" of section');
    return { kind: 'BODY[]', section, peek: name === 'BODY.PEEK', partial: partial(s) };
  }
  return plainItems.get(name) ?? s.fail('a fetch-att of RFC 3501 before this');
}

/** "<" number "." nz-number ">" */
function partial(s: Scanner): { readonly offset: number; readonly count: number } | null {
  if (!s.take('<')) return null;
  const offset = s.number('offset of partial');
  s.expect('.', '"." of partial');
  const count = s.nzNumber('count of partial');
  s.expect('>', '">" of partial');
  return { offset, count };
}

/** section-spec = section-msgtext / (section-part ["." section-text]), or nothing */
function bodySection(s: Scanner): BodySection {
  const path: number[] = [];
  if (s.startsWith(']')) return { path, text: null };
  do {
    if (!isNonZeroDigit(s.peek())) return { path, text: sectionText(s, path.length > 0) };
    path.push(s.nzNumber('section-part'));
  } while (s.take('.'));
  return { path, text: null };
}

function isNonZeroDigit(code: number): boolean {
  return code >= 0x31 && code <= 0x39;
}

/** section-text = section-msgtext / "MIME", the latter of a part only */
function sectionText(s: Scanner, ofPart: boolean): BodySection['text'] {
  const name = attName(s);
  switch (name) {
    case 'HEADER':
    case 'TEXT':
      return { kind: name };
    case 'MIME':
      return ofPart ? { kind: name } : s.fail('section-part before MIME');
    case 'HEADER.FIELDS':
    case 'HEADER.FIELDS.NOT':
      return { kind: name, fields: headerList(s) };
    default:
      return s.fail('section-text before this');
  }
}

/** header-list = "(" header-fld-name *(SP header-fld-name) ")" */
function headerList(s: Scanner): readonly string[] {
  sp(s);
  s.expect('(', 'header-list');
  const fields: string[] = [];
  do fields.push(astring(s, 'header-fld-name'));
  while (s.take(' '));
  s.expect(')', '")" of header-list');
  return fields;
}

/** The section between the brackets, field names as the client wrote them. */
function formatSection({ path, text }: BodySection): string {
  if (text === null) return path.join('.');
  const fields = 'fields' in text ? ` (${text.fields.map(formatAstring).join(' ')})` : '';
  return [...path, text.kind].join('.') + fields;
}

/** fetch-att, as a client writes it. */
export function formatFetchItem(item: FetchItem): string {
  if (item.kind !== 'BODY[]') return item.kind;
  const name = item.peek ? 'BODY.PEEK' : 'BODY';
  const partial = item.partial ? `<${item.partial.offset}.${item.partial.count}>` : '';
  return `${name}[${formatSection(item.section)}]${partial}`;
}

/** The item's name in the answer (RFC 3501 section 7.4.2): BODY for BODY.PEEK, of a partial only the offset. */
export function formatFetchItemName(item: FetchItem): string {
  if (item.kind !== 'BODY[]') return item.kind;
  return `BODY[${formatSection(item.section)}]${item.partial ? `<${item.partial.offset}>` : ''}`;
}

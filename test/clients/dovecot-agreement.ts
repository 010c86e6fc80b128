/** Compares what we, as pure functions or as a running server, and Dovecot say of the same message. */
import { bodyWithoutExtensions } from '#server/mime/bodystructure.ts';
import { MessageScanner } from '#server/mime/message-scanner.ts';
import type { MessageIndex, Part } from '#server/mime/part.ts';
import { headerFields, sectionRange } from '#server/mime/section.ts';
import type { SectionText } from '#server/mime/section.ts';
import type { ImapSession } from '../harness/imap-session.ts';
import { parseFetch, parseImapValues } from '../harness/imap-values.ts';
import type { ImapValue } from '../harness/imap-values.ts';

/** What differs: an item of FETCH, and what both say. */
export type Difference = { readonly item: string; readonly ours: ImapValue; readonly theirs: ImapValue };

type Section = { readonly path: readonly number[]; readonly text: SectionText | null };

/** Parts of one message whose sections are compared; a thousand equal parts prove no more. */
const maxParts = 60;
const messageTexts: readonly SectionText[] = ['HEADER', 'TEXT', 'HEADER.FIELDS', 'HEADER.FIELDS.NOT'];
const fields = ['Subject', 'To', 'Content-Type', 'X-None'];

/** What one side says of a message: the value of each FETCH item that is asked for. */
type View = (items: readonly string[]) => Promise<ReadonlyMap<string, ImapValue>>;

/** Compares our view of `bytes` by pure functions, or by `ours` where it is given, with Dovecot's message `number`. */
export async function differences(
  dovecot: ImapSession,
  number: number,
  bytes: Buffer,
  ours?: ImapSession,
): Promise<readonly Difference[]> {
  const scanner = new MessageScanner();
  scanner.push(bytes);
  const index = scanner.finish();
  const sections = sectionsOf(index.root);
  const our: View = ours ? (items) => fetch(ours, number, items) : (items) => computed(index, bytes, sections, items);
  const groups = [['RFC822.SIZE', 'ENVELOPE', 'BODY', 'BODYSTRUCTURE'], ...chunks(sections.map(sectionName), 40)];
  const found: Difference[] = [];
  for (const items of groups) found.push(...compare(await our(items), await fetch(dovecot, number, items)));
  return found;
}

async function computed(
  index: MessageIndex,
  bytes: Buffer,
  sections: readonly Section[],
  items: readonly string[],
): Promise<ReadonlyMap<string, ImapValue>> {
  const { envelope, bodystructure, root } = index;
  const whole: Readonly<Record<string, () => ImapValue>> = {
    'RFC822.SIZE': () => bytes.length,
    ENVELOPE: () => parseImapValues(envelope)[0] as ImapValue,
    BODY: () => parseImapValues(bodyWithoutExtensions(bodystructure))[0] as ImapValue,
    BODYSTRUCTURE: () => parseImapValues(bodystructure)[0] as ImapValue,
  };
  const byName = new Map(sections.map((section) => [sectionName(section), section]));
  return new Map(
    items.map((item) => [item, whole[item]?.() ?? sectionValue(root, bytes, byName.get(item) as Section)]),
  );
}

async function fetch(session: ImapSession, number: number, items: readonly string[]) {
  const peek = items.map((item) => item.replace('BODY[', 'BODY.PEEK['));
  const responses = await session.command(`FETCH ${number} (${peek.join(' ')})`);
  const response = responses.find((line) => /^\* \d+ FETCH /.test(line));
  if (response === undefined) throw new Error(`no FETCH response to ${items.join(' ')}`);
  return parseFetch(response);
}

function compare(ours: ReadonlyMap<string, ImapValue>, theirs: ReadonlyMap<string, ImapValue>): Difference[] {
  const found: Difference[] = [];
  for (const [item, value] of ours) {
    const other = theirs.get(item);
    if (other === undefined) throw new Error(`Dovecot's answer lacks ${item}`);
    const [left, right] = [normal(item, value), normal(item, other)];
    if (JSON.stringify(left) !== JSON.stringify(right)) found.push({ item, ours: left, theirs: right });
  }
  return found;
}

/**
 * Differences of form that hold for every message are evened out here; docs/quirks.md lists them. In ENVELOPE
 * Dovecot puts words where an address lacks a part; in BODYSTRUCTURE it writes message/rfc822 in lower case
 * however the message spells it; for a section that isn't there it has an empty string, we have NIL.
 */
function normal(item: string, value: ImapValue): ImapValue {
  if (item.startsWith('BODY[')) return value ?? '';
  if (item === 'ENVELOPE' || item.startsWith('BODY')) return normalValue(value);
  return value;
}

function normalValue(value: ImapValue): ImapValue {
  if (value === 'MISSING_MAILBOX' || value === 'MISSING_DOMAIN') return '';
  if (!Array.isArray(value)) return value;
  const values = value.map(normalValue);
  const [type, subtype, ...rest] = values;
  if (typeof type !== 'string' || type.toLowerCase() !== 'message' || typeof subtype !== 'string') return values;
  return ['message', subtype.toLowerCase(), ...rest];
}

/** The sections of RFC 3501 section 6.4.5 that the message has, and of each multipart the one after the last. */
function sectionsOf(root: Part): readonly Section[] {
  const found: Section[] = [null, ...messageTexts].map((text) => ({ path: [], text }));
  let parts = 0;
  const visitPart = (part: Part, path: readonly number[]): void => {
    if (++parts > maxParts) return;
    found.push({ path, text: null }, { path, text: 'MIME' });
    const message = part.type === 'message' && part.subtype === 'rfc822' ? part.children[0] : undefined;
    if (message) {
      for (const text of messageTexts) found.push({ path, text });
      visitMessage(message, path);
    } else if (part.type === 'multipart') visitChildren(part, path);
  };
  const visitChildren = (part: Part, path: readonly number[]): void => {
    for (const [index, child] of part.children.entries()) visitPart(child, [...path, index + 1]);
    found.push({ path: [...path, part.children.length + 1], text: null });
  };
  const visitMessage = (message: Part, path: readonly number[]): void => {
    if (message.type === 'multipart') visitChildren(message, path);
    else visitPart(message, [...path, 1]);
  };
  visitMessage(root, []);
  return found;
}

function sectionName({ path, text }: Section): string {
  const suffix = text?.startsWith('HEADER.FIELDS') ? `${text} (${fields.join(' ').toUpperCase()})` : text;
  return `BODY[${[...path, ...(suffix === null ? [] : [suffix])].join('.')}]`;
}

function sectionValue(root: Part, bytes: Buffer, { path, text }: Section): string {
  const range = sectionRange(root, path, text);
  if (range === null) return '';
  const section = bytes.subarray(range.start, range.end);
  if (!text?.startsWith('HEADER.FIELDS')) return section.toString('latin1');
  return headerFields(section, fields, text === 'HEADER.FIELDS.NOT').toString('latin1');
}

function chunks<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, n) => items.slice(n * size, (n + 1) * size));
}

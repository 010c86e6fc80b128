/**
 * What never changes of the messages of one page, as IMAP wants it, in one value: which kinds there are, and how texts
 * become bytes and texts again. Pure. Layout: of each message four bytes with the length of its text, then the texts.
 */
import { createHash } from 'node:crypto';
import type { Uid } from '#shared/base/ids.ts';
import { isPresent, uidsPerPage } from '#server/mail/mailbox-page-columns.ts';
import type { FetchedMessage, FetchWants } from '#server/mail/ports.ts';

/** Raised when texts of a kind are made in another way: older ones are then left to the janitor. */
const headerVersion = 1;
const lengthBytes = 4;
const presentBytes = uidsPerPage / 8;

/** A message while it is put together. */
export type MadeMessage = { -readonly [Key in keyof FetchedMessage]: FetchedMessage[Key] };

export type FetchPackKind = {
  /** As in the column: letters, digits and '-'. */
  readonly name: string;
  readonly textOf: (message: FetchedMessage) => string;
  readonly put: (into: MadeMessage, text: string) => void;
};

const plainKinds: readonly (FetchPackKind & { readonly want: keyof FetchWants })[] = [
  {
    want: 'envelope',
    name: 'envelope',
    textOf: ({ envelope = '' }) => envelope,
    put: (into, text) => {
      into.envelope = text;
    },
  },
  {
    want: 'bodystructure',
    name: 'bodystructure',
    textOf: ({ bodystructure = '' }) => bodystructure,
    put: (into, text) => {
      into.bodystructure = text;
    },
  },
  {
    want: 'internalDate',
    name: 'date',
    textOf: ({ internalDate }) => String(internalDate?.getTime()),
    put: (into, text) => {
      into.internalDate = new Date(Number(text));
    },
  },
  {
    want: 'size',
    name: 'size',
    textOf: ({ size }) => String(size),
    put: (into, text) => {
      into.size = Number(text);
    },
  },
];

/** Null: something is wanted that no pack has, or nothing that one has. */
export function packKindsOf(wants: FetchWants): readonly FetchPackKind[] | null {
  if (wants.content === true || wants.emailId === true) return null;
  const kinds: FetchPackKind[] = plainKinds.filter(({ want }) => wants[want] === true);
  if (wants.headerFields) {
    kinds.push({
      name: headerKindName(wants.headerFields),
      textOf: ({ headerFields = '' }) => headerFields,
      put: (into, text) => {
        into.headerFields = text;
      },
    });
  }
  return kinds.length === 0 ? null : kinds;
}

/** One for all orders and ways to write the same names. */
function headerKindName(fields: readonly string[]): string {
  const names = [...new Set(fields.map((name) => name.toLowerCase()))].sort();
  return `header${headerVersion}-${createHash('sha256').update(JSON.stringify(names)).digest('hex')}`;
}

export type FetchPack = { readonly present: Buffer; readonly data: Buffer };

/** Messages of one page, ascending. Null: a text is no binary string, or all are more than `maxBytes`. */
export function encodePack(
  messages: readonly FetchedMessage[],
  kind: FetchPackKind,
  maxBytes: number,
): FetchPack | null {
  const present = Buffer.alloc(presentBytes);
  const lengths = Buffer.alloc(messages.length * lengthBytes);
  let texts = '';
  for (const [i, message] of messages.entries()) {
    const slot = message.uid % uidsPerPage;
    present[slot >> 3] = (present[slot >> 3] ?? 0) | (1 << (slot & 7));
    const text = kind.textOf(message);
    lengths.writeUInt32BE(text.length, i * lengthBytes);
    texts += text;
    if (texts.length > maxBytes) return null;
  }
  if (/[^\0-\xff]/.test(texts)) return null;
  return { present, data: Buffer.concat([lengths, Buffer.from(texts, 'latin1')]) };
}

/** The texts of these messages of the pack's page, ascending, in their order; null: it lacks one. */
export function textsIn({ present, data }: FetchPack, uids: readonly Uid[]): readonly string[] | null {
  let count = 0;
  for (let slot = 0; slot < uidsPerPage; slot++) if (isPresent(present, slot)) count += 1;
  const all = data.toString('latin1', count * lengthBytes);
  const texts: string[] = [];
  let next = 0;
  let at = 0;
  let place = 0;
  for (let slot = 0; slot < uidsPerPage && next < uids.length; slot++) {
    const isWanted = (uids[next] as Uid) % uidsPerPage === slot;
    if (!isPresent(present, slot)) {
      if (isWanted) return null;
      continue;
    }
    const end = at + data.readUInt32BE(place * lengthBytes);
    place += 1;
    if (isWanted) {
      texts.push(all.slice(at, end));
      next += 1;
    }
    at = end;
  }
  return texts;
}

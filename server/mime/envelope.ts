import { formatAddressList, parseAddressList } from './address-list.ts';
import type { ImapAddress } from './address-list.ts';
import { maxFieldValueBytes } from './content-fields.ts';
import { unfold } from './header.ts';
import { nstring } from './imap-string.ts';

/** The fields that `formatEnvelope` looks at. */
export const envelopeFieldNames: readonly string[] = [
  'date',
  'subject',
  'from',
  'sender',
  'reply-to',
  'to',
  'cc',
  'bcc',
  'in-reply-to',
  'message-id',
];

/** Addresses that may still be told in the envelopes of one message: a short address swells tenfold there. */
export type AddressBudget = { left: number };

/**
 * RFC 3501 section 7.4.2 ENVELOPE. Address fields that are there several times are joined; of the others the
 * last counts. Sender and Reply-To that are missing or empty are as From.
 */
export function formatEnvelope(fields: ReadonlyMap<string, readonly string[]>, budget: AddressBudget): string {
  const addresses = (name: string): readonly ImapAddress[] => {
    const values = fields.get(name);
    if (!values) return [];
    const list = parseAddressList(values.map(unfold).join(', '), budget.left);
    budget.left -= list.length;
    return list;
  };
  const text = (name: string): string => nstring(lastValue(fields, name));
  const from = formatAddressList(addresses('from'));
  const orFrom = (list: readonly ImapAddress[]): string => (list.length === 0 ? from : formatAddressList(list));
  const parts = [
    text('date'),
    text('subject'),
    from,
    orFrom(addresses('sender')),
    orFrom(addresses('reply-to')),
    ...['to', 'cc', 'bcc'].map((name) => formatAddressList(addresses(name))),
    text('in-reply-to'),
    text('message-id'),
  ];
  return `(${parts.join(' ')})`;
}

/** The last field of this name, unfolded; null where there is none. */
export function lastValue(fields: ReadonlyMap<string, readonly string[]>, name: string): string | null {
  const raw = fields.get(name)?.at(-1);
  return raw === undefined ? null : unfold(raw.slice(0, maxFieldValueBytes));
}

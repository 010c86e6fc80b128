/** Who a message says it is from (RFC 5322 section 3.6.2), as one of our users may say it. Pure. */
import { parseAddressList } from '#server/mime/address-list.ts';
import { collectFields, unfold } from '#server/mime/header.ts';
import { formatAddress, parseAddress } from '#shared/text/address.ts';
import { SubmissionRefusal } from './submission-fault.ts';

export type Author = {
  /** Canonical addresses, at least one. */
  readonly from: readonly string[];
  /** Null: the field is not there. */
  readonly sender: string | null;
  /** Without angle brackets, short enough for a field that refers to it; null: there is none that can be read. */
  readonly messageId: string | null;
};

const wanted = new Set(['from', 'sender', 'message-id']);
/** Authors of one message. */
const maxAuthors = 20;

/** `header` is a binary string. Throws SubmissionRefusal. */
export function readAuthor(header: string): Author {
  const fields = collectFields(header, wanted);
  const from = addresses(fields.get('from') ?? [], 'From', maxAuthors);
  const sender = fields.has('sender') ? addresses(fields.get('sender') ?? [], 'Sender', 1) : [];
  if (from.length > 1 && sender.length === 0) throw new SubmissionRefusal({ kind: 'sender-needed' });
  const [, messageId = null] =
    /^<([^<>\s\x00-\x1f\x7f]{1,900})>$/.exec(unfold(fields.get('message-id')?.[0] ?? '')) ?? [];
  return { from, sender: sender[0] ?? null, messageId };
}

/**
 * Whoever reads a field more liberally than we do could see somebody else in it: so it must be there once and hold
 * nothing but addresses.
 */
function addresses(values: readonly string[], field: 'From' | 'Sender', most: number): readonly string[] {
  const [value] = values;
  if (value === undefined || values.length > 1) {
    throw new SubmissionRefusal({ kind: 'field-count', field, count: values.length });
  }
  const text = unfold(Buffer.from(value, 'latin1').toString('utf8'));
  const found = parseAddressList(text, most + 1).map(({ mailbox, host, route }) => {
    if (mailbox === null || host === null || route !== null) return null;
    // A local part that needs them has lost its quotes.
    const address =
      parseAddress(`${mailbox}@${host}`) ?? parseAddress(`"${mailbox.replaceAll(/["\\]/g, '\\$&')}"@${host}`);
    return address === null ? null : formatAddress(address);
  });
  const good = found.filter((address) => address !== null);
  if (good.length === 0 || good.length < found.length || good.length > most || countMailboxes(text) !== good.length) {
    throw new SubmissionRefusal({ kind: 'bad-address', field });
  }
  return good;
}

/** RFC 5322 section 3.4 "mailbox", as `withoutQuoted` leaves it: a name and an address in brackets, or an address. */
const plainMailbox = /^(?:[^<>@:;]*<\s*[^<>@\s]+\s*@\s*[^<>@\s]+\s*>|[^<>@\s]+\s*@\s*[^<>@\s]+)$/;

/** Null: there is something else in the list. A display name that looks like another address must be quoted. */
function countMailboxes(text: string): number | null {
  const parts = withoutQuoted(text)
    ?.split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
  return parts?.every((part) => plainMailbox.test(part)) === true ? parts.length : null;
}

/**
 * With a word in place of each quoted string, a space in place of each comment; a quote in a comment begins nothing,
 * nor does a parenthesis in quotes. Null: one of them has no end, or a backslash stands outside of both.
 */
function withoutQuoted(text: string): string | null {
  let left = '';
  let depth = 0;
  let isQuoted = false;
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at);
    if (char === '\\') {
      if (!isQuoted && depth === 0) return null;
      at++;
    } else if (isQuoted) {
      if (char !== '"') continue;
      isQuoted = false;
      left += 'q';
    } else if (char === '(') depth++;
    else if (depth > 0) {
      if (char === ')' && --depth === 0) left += ' ';
    } else if (char === '"') isQuoted = true;
    else left += char;
  }
  return isQuoted || depth > 0 ? null : left;
}

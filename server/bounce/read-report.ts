/** What a report that came in says (RFC 6522): of deliveries (RFC 3464, RFC 6533) or of a complaint (RFC 5965). */
import { collectFields, unfold } from '#server/mime/header.ts';
import { transferDecoder } from '#server/mime/transfer-encoding.ts';
import type { Part } from '#server/mime/part.ts';
import type { SpooledMessage } from '#server/mail/ports.ts';

export type ReportedRecipient = {
  readonly address: string;
  /** As its sender knew it (RFC 3461 section 4.2), where it was told. */
  readonly original: string | null;
  readonly action: 'failed' | 'delayed' | 'delivered' | 'relayed' | 'expanded';
  /** RFC 3463. */
  readonly status: string;
  readonly diagnostic: string | null;
};

export type Report =
  | { readonly kind: 'delivery'; readonly recipients: readonly ReportedRecipient[]; readonly messageId: string | null }
  | {
      readonly kind: 'complaint';
      /** RFC 5965 section 3.1, for example `abuse`. */
      readonly type: string;
      /** Return path of the message, where it is told. */
      readonly mailFrom: string | null;
      readonly recipients: readonly string[];
      readonly messageId: string | null;
    };

/** Bytes of one part that are read, and recipients that one report may name. */
const maxPartBytes = 256 * 1024;
const maxRecipients = 1000;

const actions = ['failed', 'delayed', 'delivered', 'relayed', 'expanded'] as const;

/** Null: it is no report, or one that can't be read. */
export async function readReport(message: SpooledMessage): Promise<Report | null> {
  const { root } = message.index;
  if (root.type !== 'multipart') return null;
  const statuses = root.children.find(
    ({ type, subtype }) => type === 'message' && /^(global-)?delivery-status$/.test(subtype),
  );
  if (statuses !== undefined) {
    const recipients = readStatuses(await partText(message, statuses));
    return recipients.length === 0
      ? null
      : { kind: 'delivery', recipients, messageId: (await readReturned(message)).messageId };
  }
  const feedback = root.children.find(({ type, subtype }) => type === 'message' && subtype === 'feedback-report');
  return feedback === undefined ? null : readComplaint(await partText(message, feedback), await readReturned(message));
}

/** Groups of fields with empty lines between them: the first is of the message, each other one of a recipient. */
function readStatuses(text: string): readonly ReportedRecipient[] {
  const [, ...groups] = text.trim().split(/(?:\r?\n){2,}/);
  return groups.slice(0, maxRecipients).flatMap((group) => {
    const fields = fieldsOf(group, ['final-recipient', 'original-recipient', 'action', 'status', 'diagnostic-code']);
    const address = typedValue(fields.get('final-recipient'));
    const action = actions.find((known) => known === fields.get('action')?.toLowerCase());
    const [status] = /^[245]\.\d{1,3}\.\d{1,3}/.exec(fields.get('status') ?? '') ?? [];
    if (address === null || action === undefined || status === undefined) return [];
    const original = typedValue(fields.get('original-recipient'));
    return [{ address, original, action, status, diagnostic: typedValue(fields.get('diagnostic-code')) }];
  });
}

type Returned = { readonly messageId: string | null; readonly returnPath: string | null };

function readComplaint(text: string, { messageId, returnPath }: Returned): Report | null {
  const header = collectFields(`${text}\r\n`, new Set(['feedback-type', 'original-mail-from', 'original-rcpt-to']));
  const values = (name: string): readonly string[] => (header.get(name) ?? []).map(unfold);
  const [type] = values('feedback-type');
  if (type === undefined) return null;
  const [mailFrom] = values('original-mail-from');
  return {
    kind: 'complaint',
    type: type.toLowerCase(),
    mailFrom: mailFrom === undefined ? returnPath : pathOf(mailFrom),
    recipients: values('original-rcpt-to').slice(0, maxRecipients).map(pathOf),
    messageId,
  };
}

/** Of the message, or its header, that a report gives back. */
async function readReturned(message: SpooledMessage): Promise<Returned> {
  const part = message.index.root.children.find(
    ({ type, subtype }) =>
      subtype === 'rfc822-headers' || (type === 'message' && /^(rfc822|global|global-headers)$/.test(subtype)),
  );
  if (part === undefined) return { messageId: null, returnPath: null };
  const fields = fieldsOf(await partText(message, part), ['message-id', 'return-path']);
  const [, messageId = null] = /^<([^<>\s]+)>$/.exec(fields.get('message-id') ?? '') ?? [];
  const returnPath = fields.get('return-path');
  return { messageId, returnPath: returnPath === undefined ? null : pathOf(returnPath) };
}

function fieldsOf(text: string, names: readonly string[]): ReadonlyMap<string, string> {
  const found = collectFields(`${text}\r\n`, new Set(names));
  return new Map([...found].map(([name, values]) => [name, unfold(values[0] ?? '')]));
}

/** Behind "rfc822;" and the like. UTF-8 in it is as it came, or in the form of RFC 6533 section 3. */
function typedValue(value: string | undefined): string | null {
  if (value === undefined) return null;
  const text = value.slice(value.indexOf(';') + 1).trim();
  const plain = text.replaceAll(/\\x\{([0-9A-Fa-f]{1,6})\}/g, (whole, hex: string) => {
    const code = Number.parseInt(hex, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
  return plain === '' ? null : pathOf(plain);
}

function pathOf(text: string): string {
  return text.trim().replace(/^<(.*)>$/s, '$1');
}

/** Decoded, as far as it is read; UTF-8. */
async function partText(message: SpooledMessage, part: Part): Promise<string> {
  const decoder = transferDecoder(part.encoding);
  const pieces: Buffer[] = [];
  for await (const chunk of message.read(part.bodyStart, Math.min(part.end, part.bodyStart + maxPartBytes))) {
    pieces.push(decoder.write(chunk));
  }
  return Buffer.concat([...pieces, decoder.end()]).toString('utf8');
}

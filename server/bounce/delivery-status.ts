/** The machine's part of a report (RFC 3464, RFC 3461, RFC 6533). Pure. */
import { formatDateTime } from '#server/delivery/trace-header.ts';
import type { AttemptFacts, Notice, OutboundRecipient } from '#server/mail/outbound-ports.ts';

export type StatusOptions = {
  /** Our name. */
  readonly hostname: string;
  /** Addresses may be written in UTF-8: message/global-delivery-status. */
  readonly isGlobal: boolean;
};

type Told = Notice['recipients'][number];

export function deliveryStatus({ kind, message, recipients }: Notice, options: StatusOptions): string {
  const { hostname } = options;
  const perMessage = [
    `Reporting-MTA: dns; ${hostname}`,
    ...(message.envid === null ? [] : [`Original-Envelope-Id: ${oneLine(message.envid)}`]),
    `Arrival-Date: ${formatDateTime(message.acceptedAt)}`,
  ];
  const groups = recipients.map((told) => recipientFields(kind, told, options));
  return [perMessage, ...groups].map((fields) => `${fields.join('\r\n')}\r\n`).join('\r\n');
}

function recipientFields(kind: Notice['kind'], told: Told, options: StatusOptions): readonly string[] {
  const { recipient, facts, lastAttemptAt, willRetryUntil, reason } = told;
  const host = facts?.host ?? facts?.address ?? null;
  return [
    ...(recipient.orcpt === null ? [] : [`Original-Recipient: ${originalRecipient(recipient.orcpt, options)}`]),
    `Final-Recipient: ${finalRecipient(recipient, options)}`,
    `Action: ${kind}`,
    `Status: ${statusOf(kind, facts, reason)}`,
    ...(host === null ? [] : [`Remote-MTA: dns; ${oneLine(host)}`]),
    ...(facts === null || facts.reply.code === null ? [] : [diagnosticCode(facts)]),
    ...(lastAttemptAt === null ? [] : [`Last-Attempt-Date: ${formatDateTime(lastAttemptAt)}`]),
    ...(willRetryUntil === null ? [] : [`Will-Retry-Until: ${formatDateTime(willRetryUntil)}`]),
  ];
}

/**
 * RFC 3464 section 2.3.4. A message that is given up with a reply that was temporary failed for good all the same, and
 * one that ran out of time has a status of its own (RFC 3463 section 3.5).
 */
function statusOf(kind: Notice['kind'], facts: AttemptFacts | null, reason: string | null): string {
  switch (kind) {
    case 'failed':
      if (facts !== null) return `5${(facts.reply.status ?? '5.0.0').slice(1)}`;
      return reason?.startsWith('not delivered in time') === true ? '5.4.7' : '5.7.1';
    case 'delayed':
      return `4${(facts?.reply.status ?? '4.4.7').slice(1)}`;
    case 'delivered':
    case 'relayed':
    case 'expanded':
      return `2${(facts?.reply.status ?? '2.0.0').slice(1)}`;
    default:
      return kind satisfies never;
  }
}

/** The lines after the first are those of the reply; a line has 998 bytes at most (RFC 5322 section 2.1.1). */
function diagnosticCode({ reply: { code, status, text } }: AttemptFacts): string {
  const said = oneLine(`${code}${status === null || text.startsWith(status) ? '' : ` ${status}`} ${text}`);
  const lines = said.match(/.{1,70}(?:\s+|$)|\S{1,900}/g) ?? [said];
  return `Diagnostic-Code: smtp; ${lines.map((line) => line.trimEnd()).join('\r\n ')}`;
}

function finalRecipient({ address }: OutboundRecipient, options: StatusOptions): string {
  return isAsciiText(address) ? `rfc822; ${address}` : `utf-8; ${utf8Address(address, options)}`;
}

/** `orcpt` is "addr-type;address", decoded. */
function originalRecipient(orcpt: string, options: StatusOptions): string {
  const at = orcpt.indexOf(';');
  const [type, address] = [orcpt.slice(0, at), withoutControls(orcpt.slice(at + 1))];
  return isAsciiText(address) ? `${type}; ${address}` : `utf-8; ${utf8Address(address, options)}`;
}

/** RFC 6533 section 3, "utf-8-addr-xtext", where nothing but ASCII may be written. */
function utf8Address(address: string, { isGlobal }: StatusOptions): string {
  if (isGlobal) return address;
  return address.replaceAll(/[^!-*,-<>-[\]-~]/gu, (char) => `\\x{${char.codePointAt(0)?.toString(16).toUpperCase()}}`);
}

export function isAsciiText(text: string): boolean {
  return /^[\x00-\x7f]*$/.test(text);
}

function oneLine(text: string): string {
  return withoutControls(text).replaceAll(/[^\x20-\x7e]/g, '?');
}

function withoutControls(text: string): string {
  return text.replaceAll(/[\x00-\x1f\x7f]+/g, ' ').trim();
}

/** What a person reads in a report: whom it is about, what the other server said, and what happens now. Pure. */
import { formatDateTime } from '#server/delivery/trace-header.ts';
import type { AttemptFacts, Notice } from '#server/mail/outbound-ports.ts';

export const noticeSubjects: Readonly<Record<Notice['kind'], string>> = {
  failed: 'Your message could not be delivered',
  delayed: 'Your message is delayed',
  delivered: 'Your message was delivered',
  relayed: 'Your message was passed on',
  expanded: 'Your message was passed on to a list',
};

/** Of a line; RFC 5322 section 2.1.1 allows 998. */
const maxLineLength = 900;

const openings: Readonly<Record<Notice['kind'], string>> = {
  failed: 'Your message could not be delivered to the addresses below, and will not be tried again.',
  delayed:
    'Your message could not be delivered to the addresses below yet. It is tried again: you need not send it again.',
  delivered: 'Your message was put into the mailboxes of the addresses below.',
  relayed: 'Your message was taken by the servers of the addresses below. They may not tell when it is delivered.',
  expanded: 'The addresses below are of lists; your message was sent on to their members.',
};

/** Lines end in CRLF. */
export function noticeText({ kind, message, recipients }: Notice, hostname: string): string {
  const lines = [`This is the mail server ${hostname}.`, '', openings[kind]];
  for (const { recipient, facts, reason, willRetryUntil } of recipients) {
    lines.push('', `  ${recipient.address}`);
    if (facts !== null) lines.push(`    ${saying(facts)}`);
    if (reason !== null) lines.push(`    ${reason}`);
    if (willRetryUntil !== null) lines.push(`    It is tried until ${formatDateTime(willRetryUntil)}.`);
  }
  lines.push('', `It was handed in on ${formatDateTime(message.acceptedAt)} and has the id ${message.traceId} here.`);
  return `${lines.map(printable).join('\r\n')}\r\n`;
}

function printable(line: string): string {
  return line
    .replaceAll(/[\x00-\x1f\x7f]+/g, ' ')
    .trimEnd()
    .slice(0, maxLineLength);
}

function saying({ reply: { code, status, text }, host, address }: AttemptFacts): string {
  const peer = host ?? address ?? 'the other server';
  if (code === null) return `${peer}: ${text}`;
  return `${peer} said: ${code}${status === null || text.startsWith(status) ? '' : ` ${status}`} ${text}`;
}

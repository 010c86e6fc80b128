/** The commands of one transaction, with the parameters that the peer understands. Pure. */
import { formatAddress, parseAddress } from '#shared/text/address.ts';
import type { OutboundEnvelope, OutboundRecipient } from '#server/mail/outbound-ports.ts';
import { maxSize, type Extensions } from './smtp-extensions.ts';

/** Why this peer can't take this message at all; found before a command is sent. */
export type Unable = { readonly status: string; readonly text: string; readonly category: string };

/** RFC 6152 section 3; a converted message would do. */
export const needs8BitMime: Unable = {
  status: '5.6.3',
  text: 'the message has 8-bit text, and the peer does not offer 8BITMIME',
  category: 'policy',
};

export type TransactionFacts = {
  readonly envelope: OutboundEnvelope;
  readonly sizeBytes: number;
  readonly extensions: Extensions;
  readonly now: Date;
};

/** Null: it can. */
export function unableToTake({ envelope, sizeBytes, extensions, now }: TransactionFacts): Unable | null {
  const most = maxSize(extensions);
  if (most !== null && sizeBytes > most) {
    const text = `the message has ${sizeBytes} bytes, the peer takes ${most} at most`;
    return { status: '5.3.4', text, category: 'size' };
  }
  if (envelope.isSmtpUtf8 && !extensions.has('SMTPUTF8')) {
    // RFC 6531 section 3.2: only what needs no UTF-8 may go to a server without it.
    const text = 'the message has addresses or header fields in UTF-8, and the peer does not offer SMTPUTF8';
    return { status: '5.6.7', text, category: 'policy' };
  }
  if (envelope.body === '8bitmime' && !extensions.has('8BITMIME')) {
    return needs8BitMime;
  }
  if (envelope.deliverBy?.mode === 'return') {
    // RFC 2852 section 4.1.4.2: it may not go on to who does not know the deadline.
    if (!extensions.has('DELIVERBY')) {
      const text = 'the message is to be returned when it is late, and the peer does not offer DELIVERBY';
      return { status: '5.3.3', text, category: 'policy' };
    }
    if (envelope.deliverBy.at <= now) {
      return { status: '5.4.7', text: 'the time for its delivery is over', category: 'policy' };
    }
  }
  return null;
}

export function mailCommand({ envelope, sizeBytes, extensions, now }: TransactionFacts): string {
  const parameters: string[] = [];
  if (extensions.has('SIZE')) parameters.push(`SIZE=${sizeBytes}`);
  if (envelope.body === '8bitmime') parameters.push('BODY=8BITMIME');
  if (envelope.isSmtpUtf8) parameters.push('SMTPUTF8');
  if (envelope.requiresTls && extensions.has('REQUIRETLS')) parameters.push('REQUIRETLS');
  if (extensions.has('DSN')) {
    if (envelope.ret !== null) parameters.push(`RET=${envelope.ret === 'full' ? 'FULL' : 'HDRS'}`);
    if (envelope.envid !== null) parameters.push(`ENVID=${xtext(envelope.envid)}`);
  }
  // RFC 6710 section 5: 0 is what goes without saying.
  if (envelope.priority !== 0 && extensions.has('MT-PRIORITY')) parameters.push(`MT-PRIORITY=${envelope.priority}`);
  if (envelope.deliverBy && extensions.has('DELIVERBY')) {
    const seconds = Math.round((envelope.deliverBy.at.getTime() - now.getTime()) / 1000);
    const mode = envelope.deliverBy.mode === 'return' ? 'R' : 'N';
    // RFC 2852 section 4: nine digits; a deadline that has passed is negative, and then only to be notified.
    const bounded = Math.max(-999_999_999, Math.min(999_999_999, seconds));
    parameters.push(`BY=${bounded};${mode}${envelope.deliverBy.isTraced ? 'T' : ''}`);
  }
  const from = envelope.returnPath ?? envelope.sender;
  return ['MAIL FROM:<', pathOf(from), '>', ...parameters.map((each) => ` ${each}`), '\r\n'].join('');
}

export function rcptCommand(recipient: OutboundRecipient, extensions: Extensions): string {
  const parameters: string[] = [];
  if (extensions.has('DSN')) {
    const { notify, orcpt } = recipient;
    if (notify !== null) parameters.push(`NOTIFY=${notify === 'never' ? 'NEVER' : notify.join(',').toUpperCase()}`);
    if (orcpt !== null) parameters.push(`ORCPT=${orcptText(orcpt)}`);
  }
  return ['RCPT TO:<', pathOf(recipient.address), '>', ...parameters.map((each) => ` ${each}`), '\r\n'].join('');
}

/** Our rows hold addresses that were parsed; another form must not get into a command. */
function pathOf(address: string): string {
  if (address === '') return '';
  const parsed = parseAddress(address);
  if (!parsed) throw new Error('an address in the queue is none');
  return formatAddress(parsed);
}

/** RFC 3461 section 4.2: the type stays, the address is xtext. */
function orcptText(orcpt: string): string {
  const at = orcpt.indexOf(';');
  return at === -1 ? `rfc822;${xtext(orcpt)}` : `${xtext(orcpt.slice(0, at))};${xtext(orcpt.slice(at + 1))}`;
}

/** RFC 3461 section 4; UTF-8 is "utf-8-addr-unitext" (RFC 6533 section 3) and stays as it is. */
function xtext(text: string): string {
  return text.replaceAll(/[^\x21-\x2a\x2c-\x3c\x3e-\x7e\u0080-\u{10ffff}]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return `+${code.toString(16).toUpperCase().padStart(2, '0')}`;
  });
}

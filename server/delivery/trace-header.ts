/**
 * The fields that a delivery puts before a message (RFC 5321 section 4.4). Pure. What a peer chose (its HELO
 * name, addresses) is bounded and made harmless here, so that it can neither forge a field nor break a line.
 */
import { isIPv6 } from 'node:net';

/** How and from whom a message came: the same for all of its recipients. */
export type TraceFacts = {
  /** The peer's argument of HELO or EHLO; null where it sent none. */
  readonly helo: string | null;
  readonly remoteAddress: string;
  /** Our name. */
  readonly hostname: string;
  readonly protocol: TransmissionType;
  /** Version and cipher, for example `TLSv1.3` and `TLS_AES_256_GCM_SHA384`; null in clear. */
  readonly tls: { readonly version: string; readonly cipher: string } | null;
  /** The id under which the log speaks of this message. */
  readonly id: string;
  readonly receivedAt: Date;
  /** As in MAIL, without angle brackets; empty for a bounce. */
  readonly sender: string;
  /** Each accepted RCPT's address. */
  readonly recipients: readonly string[];
};

/** RFC 3848, and RFC 6531 section 4.3 for SMTPUTF8. */
export type TransmissionType = 'SMTP' | `${'ESMTP' | 'UTF8SMTP'}${'' | 'S' | 'A' | 'SA'}`;

/** RFC 5321 section 4.5.3.1.2. */
const maxDomainBytes = 255;
const wordOfPeer = /^(?:[A-Za-z0-9._-]+|\[[A-Za-z0-9:.]+\])$/;
// Controls would end the line, angle brackets the address.
const notInPath = /[\x00-\x1f\x7f<>]/;

/**
 * Return-Path, Delivered-To and Received, each ended by CRLF, for one account after the other; `account` is the address
 * of the account that the copy goes to.
 */
export function traceHeaders(facts: TraceFacts): (account: string) => Buffer {
  const returnPath = `Return-Path: <${path(facts.sender)}>\r\nDelivered-To: `;
  const received = `\r\n${receivedField(facts)}`;
  return (account) => Buffer.from(returnPath + path(account) + received);
}

export function traceHeader(facts: TraceFacts, account: string): Buffer {
  return traceHeaders(facts)(account);
}

/** RFC 5321 section 4.4 "Time-stamp-line", one clause a line. */
export function receivedField(facts: TraceFacts): string {
  const literal = addressLiteral(facts.remoteAddress);
  const helo = facts.helo !== null && facts.helo.length <= maxDomainBytes ? facts.helo : '';
  const from = wordOfPeer.test(helo) ? helo : 'unknown';
  const tls = facts.tls === null ? '' : ` (${facts.tls.version} ${facts.tls.cipher})`;
  const [only, second] = facts.recipients;
  // With several recipients the clause would tell each of the others, perhaps of one in Bcc (section 7.2).
  const forClause = only === undefined || second !== undefined ? '' : `\r\n\tfor <${path(only)}>`;
  return (
    `Received: from ${from} (${literal})\r\n` +
    `\tby ${facts.hostname} with ${facts.protocol}${tls}\r\n` +
    `\tid ${facts.id}${forClause};\r\n` +
    `\t${formatDateTime(facts.receivedAt)}\r\n`
  );
}

/** RFC 5322 section 3.3 "date-time", in UTC. */
export function formatDateTime(at: Date): string {
  // toUTCString gives "Sat, 21 Nov 2026 10:40:49 GMT"; "GMT" is the obsolete zone of section 4.3.
  return at.toUTCString().replace('GMT', '+0000');
}

/** RFC 5321 section 4.1.3. */
function addressLiteral(address: string): string {
  return isIPv6(address) ? `[IPv6:${address}]` : `[${address}]`;
}

function path(address: string): string {
  return notInPath.test(address) ? '' : address;
}

import { isIPv4, isIPv6 } from 'node:net';
import { canonicalDomain } from './domain-name.ts';

/** RFC 5321 section 4.5.3.1.1, in bytes as written. */
const maxLocalPartBytes = 64;
/** RFC 5321 section 4.5.3.1.3 without the angle brackets, in bytes (RFC 3696 erratum 1690). */
const maxAddressBytes = 254;

// RFC 5321 section 4.1.2 "Dot-string" and "Quoted-string", with the UTF-8 of RFC 6531 section 3.3.
const dotString =
  /^[a-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\u{10ffff}]+(?:\.[a-z0-9!#$%&'*+\-/=?^_`{|}~\u0080-\u{10ffff}]+)*$/iu;
const quotedString = /^"(?:[\x20-\x21\x23-\x5b\x5d-\x7e\u0080-\u{10ffff}]|\\[\x20-\x7e])*"$/u;
const needsBackslash = /["\\]/g;
// C1 controls and lone surrogates are no text in any local part.
const neverText = /[\u0080-\u009f\ud800-\udfff]/u;

/** A mailbox as RFC 5321 section 4.1.2 has it. */
export type MailAddress = {
  /** Unquoted, in the case it was written in. */
  readonly localPart: string;
  /** Canonical (see `canonicalDomain`), or an address literal with its brackets. */
  readonly domain: string;
};

/**
 * Reads "Mailbox" of RFC 5321 section 4.1.2, with the UTF-8 of RFC 6531; source routes and comments are not part
 * of it. Null: it is none, or too long.
 */
export function parseAddress(text: string): MailAddress | null {
  if (text.length > maxAddressBytes || Buffer.byteLength(text) > maxAddressBytes) return null;
  // A quoted local part may hold an "@", a domain can't.
  const at = text.lastIndexOf('@');
  if (at < 1) return null;
  const localPart = parseLocalPart(text.slice(0, at));
  const domain = parseDomain(text.slice(at + 1));
  return localPart === null || domain === null ? null : { localPart, domain };
}

function parseLocalPart(text: string): string | null {
  if (Buffer.byteLength(text) > maxLocalPartBytes || neverText.test(text)) return null;
  if (dotString.test(text)) return text;
  if (!quotedString.test(text)) return null;
  const content = text.slice(1, -1).replaceAll(/\\(.)/gu, '$1');
  return content === '' ? null : content;
}

function parseDomain(text: string): string | null {
  return text.startsWith('[') ? addressLiteral(text) : canonicalDomain(text);
}

/** RFC 5321 section 4.1.3; tags other than IPv6 have no meaning to anyone and are refused. */
function addressLiteral(text: string): string | null {
  if (!text.endsWith(']')) return null;
  const content = text.slice(1, -1).toLowerCase();
  const isKnown = content.startsWith('ipv6:') ? isIPv6(content.slice(5)) : isIPv4(content);
  return isKnown && !content.includes('%') ? `[${content}]` : null;
}

/** The address as it is written in SMTP and in header fields: quoted only where it must be. */
export function formatAddress(address: MailAddress): string {
  const { localPart, domain } = address;
  return dotString.test(localPart)
    ? `${localPart}@${domain}`
    : `"${localPart.replaceAll(needsBackslash, '\\$&')}"@${domain}`;
}

/**
 * How local parts are compared and stored: NFC (RFC 6532 section 3.1) and in lower case. RFC 5321 section 2.4
 * leaves their case to the host that owns them, which is us.
 */
export function canonicalLocalPart(localPart: string): string {
  return localPart.normalize('NFC').toLowerCase().normalize('NFC');
}

/** The address in the form in which the directory compares it. */
export function canonicalAddress(address: MailAddress): MailAddress {
  return { localPart: canonicalLocalPart(address.localPart), domain: address.domain };
}

/**
 * RFC 5233 section 4: what stands before the first delimiter is the user, what follows is the detail. Null: it
 * has no detail. A delimiter at the very start belongs to the user.
 */
export function splitSubaddress(
  localPart: string,
  delimiter: string,
): { readonly user: string; readonly detail: string } | null {
  const at = localPart.indexOf(delimiter);
  return at < 1 ? null : { user: localPart.slice(0, at), detail: localPart.slice(at + delimiter.length) };
}

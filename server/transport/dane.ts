/** RFC 7672: certificates against TLSA records. Pure. */
import { createHash, createPublicKey, X509Certificate, type KeyObject } from 'node:crypto';
import type { TlsaRecord } from '#shared/dns/answer.ts';

const trustAnchor = 2;
const endEntity = 3;

/**
 * RFC 7672 sections 3.1.1 to 3.1.3: DANE-TA(2) and DANE-EE(3), a certificate or its key, in full or as SHA-256 or
 * SHA-512. Usages 0 and 1 mean nothing to mail.
 */
export function isUsableTlsa({ usage, selector, matchingType, certificate }: TlsaRecord): boolean {
  if (usage !== trustAnchor && usage !== endEntity) return false;
  if (selector !== 0 && selector !== 1) return false;
  if (matchingType === 1) return certificate.length === 32;
  if (matchingType === 2) return certificate.length === 64;
  return matchingType === 0 && isReadable(selector, certificate);
}

export type DaneCheck = {
  /** Usable ones. */
  readonly records: readonly TlsaRecord[];
  readonly names: readonly string[];
  readonly now: Date;
};

/** `chain` as the peer sent it, its own certificate first. */
export function matchesDane(chain: readonly X509Certificate[], { records, names, now }: DaneCheck): boolean {
  const [leaf] = chain;
  if (!leaf) return false;
  // RFC 7672 section 3.1.1: neither names nor dates of an end entity's certificate matter.
  if (records.some((record) => record.usage === endEntity && matches(record, leaf))) return true;
  if (!names.some((name) => leaf.checkHost(name, { subject: 'default', partialWildcards: false }) !== undefined))
    return false;
  return records.some((record) => record.usage === trustAnchor && isUnderAnchor(record, chain, now));
}

/** RFC 7672 section 3.1.2: from the leaf up to a certificate, or a key, that the record names. */
function isUnderAnchor(record: TlsaRecord, chain: readonly X509Certificate[], now: Date): boolean {
  for (const [i, certificate] of chain.entries()) {
    if (!isInDate(certificate, now) || (i > 0 && !certificate.ca)) return false;
    if (i > 0 && matches(record, certificate)) return true;
    const issuer = chain[i + 1];
    // An anchor given in full need not be in what the peer sends.
    if (isIssuedByRecord(record, certificate)) return true;
    if (!issuer || !certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) return false;
  }
  return false;
}

function isIssuedByRecord(record: TlsaRecord, certificate: X509Certificate): boolean {
  if (record.matchingType !== 0) return false;
  try {
    return certificate.verify(keyOf(record.selector, record.certificate));
  } catch {
    // A key of another kind than the signature.
    return false;
  }
}

function matches({ selector, matchingType, certificate: wanted }: TlsaRecord, certificate: X509Certificate): boolean {
  const subject = selector === 0 ? certificate.raw : certificate.publicKey.export({ type: 'spki', format: 'der' });
  if (matchingType === 0) return subject.equals(wanted);
  return createHash(matchingType === 1 ? 'sha256' : 'sha512')
    .update(subject)
    .digest()
    .equals(wanted);
}

function isInDate(certificate: X509Certificate, now: Date): boolean {
  return certificate.validFromDate <= now && now <= certificate.validToDate;
}

function keyOf(selector: number, bytes: Buffer): KeyObject {
  return selector === 0
    ? new X509Certificate(bytes).publicKey
    : createPublicKey({ key: bytes, format: 'der', type: 'spki' });
}

function isReadable(selector: number, bytes: Buffer): boolean {
  try {
    keyOf(selector, bytes);
    return true;
  } catch {
    return false;
  }
}

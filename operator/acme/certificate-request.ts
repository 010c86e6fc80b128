/** What an authority is handed for a certificate, and what names one to it. */
import 'reflect-metadata';
import { createPrivateKey, createPublicKey, webcrypto, X509Certificate as NodeCertificate } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  X509Certificate,
} from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** A request in DER (PKCS#10). The names are in the extension alone: a common name has at most 64 characters. */
export async function certificateRequest(privateKeyPem: string, names: readonly string[]): Promise<Buffer> {
  const privateKey = createPrivateKey(privateKeyPem);
  const pkcs8 = privateKey.export({ type: 'pkcs8', format: 'der' });
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' });
  const request = await Pkcs10CertificateRequestGenerator.create(
    {
      keys: {
        privateKey: await webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign']),
        publicKey: await webcrypto.subtle.importKey('spki', spki, algorithm, true, ['verify']),
      },
      signingAlgorithm: algorithm,
      extensions: [new SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns' as const, value })))],
    },
    webcrypto,
  );
  return Buffer.from(request.rawData);
}

/** RFC 9773 section 4.1: the issuer's key and the serial number; null: the certificate does not name its issuer's key. */
export function certificateId(pem: string): string | null {
  const keyId = new X509Certificate(pem).getExtension(AuthorityKeyIdentifierExtension)?.keyId;
  if (keyId === undefined) return null;
  const encode = (hex: string): string => Buffer.from(hex, 'hex').toString('base64url');
  return `${encode(keyId)}.${encode(derInteger(new NodeCertificate(pem).serialNumber))}`;
}

/** The content of a positive INTEGER in DER, hexadecimal. */
export function derInteger(hex: string): string {
  const digits = hex.replace(/^0+/, '') || '0';
  const bytes = digits.length % 2 === 0 ? digits : `0${digits}`;
  return Number.parseInt(bytes.slice(0, 2), 16) > 0x7f ? `00${bytes}` : bytes;
}

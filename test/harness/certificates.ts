/** Certificates for tests: an authority, and what it signs. */
import 'reflect-metadata';
import { createHash, webcrypto, X509Certificate as NodeCertificate } from 'node:crypto';
import {
  BasicConstraintsExtension,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  type X509Certificate,
} from '@peculiar/x509';

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const dayMs = 24 * 3600 * 1000;

export type Issued = {
  /** PEM: with the issuer after it, unless it is self-signed. */
  readonly cert: string;
  readonly key: string;
  /** Hexadecimal SHA-256, as TLSA records have it: of the key (selector 1), of the certificate (selector 0). */
  readonly keyHash: string;
  readonly certificateHash: string;
  /** Hexadecimal DER. */
  readonly full: string;
};

export type Authority = Issued & {
  /**
   * For these names. `days` from now until it expires, `fromDays` until it begins to be valid; negative: it has expired,
   * or begun.
   */
  issue(names: readonly string[], days?: number, fromDays?: number): Promise<Issued>;
};

export async function makeAuthority(name: string): Promise<Authority> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      name: [{ CN: [name] }],
      keys,
      signingAlgorithm: algorithm,
      notBefore: new Date(Date.now() - 30 * dayMs),
      notAfter: new Date(Date.now() + 30 * dayMs),
      extensions: [new BasicConstraintsExtension(true, undefined, true)],
    },
    webcrypto,
  );
  const own = await issued(certificate, keys.privateKey, null);
  return {
    ...own,
    issue: (names, days = 30, fromDays = -20) => issue(names, { days, fromDays }, certificate, keys.privateKey),
  };
}

async function issue(
  names: readonly string[],
  { days, fromDays }: { readonly days: number; readonly fromDays: number },
  authority: X509Certificate,
  signingKey: webcrypto.CryptoKey,
): Promise<Issued> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.create(
    {
      subject: [{ CN: [names[0] ?? 'nobody'] }],
      issuer: authority.subjectName,
      publicKey: keys.publicKey,
      signingKey,
      signingAlgorithm: algorithm,
      notBefore: new Date(Date.now() + fromDays * dayMs),
      notAfter: new Date(Date.now() + days * dayMs),
      extensions: [
        new BasicConstraintsExtension(false, undefined, true),
        new SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns' as const, value }))),
      ],
    },
    webcrypto,
  );
  return issued(certificate, keys.privateKey, authority);
}

async function issued(
  certificate: X509Certificate,
  privateKey: webcrypto.CryptoKey,
  issuer: X509Certificate | null,
): Promise<Issued> {
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', privateKey)).toString('base64');
  const node = new NodeCertificate(certificate.toString('pem'));
  const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  return {
    cert: [certificate, issuer].flatMap((each) => (each ? [`${each.toString('pem')}\n`] : [])).join(''),
    key: `-----BEGIN PRIVATE KEY-----\n${(pkcs8.match(/.{1,64}/g) ?? []).join('\n')}\n-----END PRIVATE KEY-----\n`,
    keyHash: sha256(node.publicKey.export({ type: 'spki', format: 'der' })),
    certificateHash: sha256(node.raw),
    full: node.raw.toString('hex'),
  };
}

/** What is asked of the TLS of one host, and whether its certificate meets it. */
import { X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { checkServerIdentity, type ConnectionOptions, type TLSSocket } from 'node:tls';
import type { TlsFacts } from '#server/mail/outbound-ports.ts';
import type { TlsaRecord } from '#shared/dns/answer.ts';
import { matchesDane } from './dane.ts';

export type TlsVerdict = {
  readonly isVerified: boolean;
  /** `success`, or a result-type of RFC 8460 section 4.3. */
  readonly result: string;
  /** The session must not go on. */
  readonly isRefused: boolean;
  /** For people. */
  readonly text: string;
};

export type HostTls = {
  readonly policy: TlsFacts['policy'];
  readonly start: 'never' | 'offered' | 'required' | 'implicit';
  readonly options: ConnectionOptions;
  judge(socket: TLSSocket): TlsVerdict;
};

const good: TlsVerdict = { isVerified: true, result: 'success', isRefused: false, text: '' };

/** Whom a certificate names is judged after the handshake, with what else is to be said about it. */
const later = { checkServerIdentity: () => undefined };

export const withoutTls: HostTls = { policy: 'none', start: 'never', options: {}, judge: () => good };

/** Any TLS is better than none, so old versions and weak certificates pass (RFC 7435 section 3). */
export function opportunisticTls(host: string): HostTls {
  return {
    policy: 'opportunistic',
    start: 'offered',
    options: { ...later, servername: serverNameOf(host), minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' },
    judge: (socket) => ({ ...judgePkix(socket, host), isRefused: false }),
  };
}

export type PkixDemand = {
  readonly policy: TlsFacts['policy'];
  readonly start: 'required' | 'implicit';
  readonly host: string;
  readonly ca: string | null;
  /** False: what is wrong is reported, and the mail goes all the same (RFC 8461 section 5, testing). */
  readonly isBinding: boolean;
};

/** A certificate from an authority, that names the host (RFC 6125). */
export function pkixTls({ policy, start, host, ca, isBinding }: PkixDemand): HostTls {
  return {
    policy,
    start,
    options: {
      ...later,
      servername: serverNameOf(host),
      minVersion: isBinding ? 'TLSv1.2' : 'TLSv1',
      ...(ca === null ? {} : { ca }),
    },
    judge: (socket) => {
      const verdict = judgePkix(socket, host);
      return { ...verdict, isRefused: isBinding && !verdict.isVerified };
    },
  };
}

/** After a handshake that failed where TLS is only welcome: in clear, and the attempt says what failed. */
export function clearAfter(tls: HostTls): HostTls {
  return { ...tls, start: 'never' };
}

export type DaneDemand = {
  /** The TLSA base domain: it is in SNI (RFC 7672 section 8.1). */
  readonly baseDomain: string;
  /** Names that a certificate under a trust anchor may have (RFC 7672 section 3.2.2). */
  readonly names: readonly string[];
  /** Those that can be used; none: TLS is required, but nothing is verified (RFC 7672 section 2.2). */
  readonly records: readonly TlsaRecord[];
  readonly now: Date;
};

/** RFC 7672 section 2.2: the peer's records in a signed zone say which certificate it has. */
export function daneTls({ baseDomain, names, records, now }: DaneDemand): HostTls {
  return {
    policy: 'dane',
    start: 'required',
    options: { ...later, servername: baseDomain, minVersion: 'TLSv1.2', ciphers: 'DEFAULT@SECLEVEL=1' },
    judge: (socket) => {
      if (records.length === 0) return { ...good, isVerified: false };
      if (matchesDane(chainOf(socket), { records, names, now })) return good;
      const text = 'the certificate is not the one that the TLSA records name (DANE)';
      return { isVerified: false, result: 'validation-failure', isRefused: true, text };
    },
  };
}

/** RFC 6066 section 3: an address is no server name; nor is a socket's path. */
function serverNameOf(host: string): string {
  return isIP(host) !== 0 || host.startsWith('[') || host.startsWith('/') ? '' : host;
}

function judgePkix(socket: TLSSocket, host: string): TlsVerdict {
  if (!socket.authorized) {
    const code = String(socket.authorizationError ?? 'unknown');
    const result = code === 'CERT_HAS_EXPIRED' ? 'certificate-expired' : 'certificate-not-trusted';
    return { isVerified: false, result, isRefused: true, text: `the certificate of ${host} ${describeTrust(code)}` };
  }
  if (checkServerIdentity(host, socket.getPeerCertificate()) === undefined) return good;
  const text = `the certificate of ${host} is for other names`;
  return { isVerified: false, result: 'certificate-host-mismatch', isRefused: true, text };
}

function describeTrust(code: string): string {
  switch (code) {
    case 'CERT_HAS_EXPIRED':
      return 'has expired';
    case 'CERT_NOT_YET_VALID':
      return 'is not valid yet';
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return 'is self-signed';
    default:
      return `is from no authority that is trusted here (${code})`;
  }
}

/** The peer's own certificate first. */
function chainOf(socket: TLSSocket): readonly X509Certificate[] {
  const chain: X509Certificate[] = [];
  const seen = new Set<string>();
  let each = socket.getPeerCertificate(true);
  // A root is its own issuer.
  while (each?.raw !== undefined && !seen.has(each.fingerprint256)) {
    seen.add(each.fingerprint256);
    chain.push(new X509Certificate(each.raw));
    each = each.issuerCertificate;
  }
  return chain;
}

/** What may be wrong with a certificate, in the order in which it is told. Pure. */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { CertificateMaterial } from '#shared/directory/certificates.ts';
import { canonicalDomain } from '#shared/text/domain-name.ts';
import type { Secret } from '#operator/kube/core-resources.ts';

export type Fault = { readonly reason: string; readonly message: string };

export type CheckedCertificate = {
  readonly material: CertificateMaterial;
  /** Host names that it is for; one may begin with "*.". */
  readonly names: readonly string[];
  readonly notAfter: Date;
};

export type Verdict =
  | { readonly kind: 'good'; readonly certificate: CheckedCertificate; readonly isEndingSoon: boolean }
  | { readonly kind: 'bad'; readonly fault: Fault };

/** What a certificate has to be for. */
export type Demand =
  /** Each of these hosts. */
  | { readonly kind: 'hosts'; readonly hosts: readonly string[] }
  /** Some host of the domain. */
  | { readonly kind: 'within'; readonly domain: string };

type TlsSecret = Pick<Secret, 'type' | 'data'>;

type Candidate = {
  readonly secret: TlsSecret;
  readonly demand: Demand;
  readonly now: Date;
  readonly chain: string;
  readonly key: string;
  /** Read lazily: a check before makes sure that it can be. */
  readonly certificate: () => X509Certificate;
};

const dayMs = 24 * 3600 * 1000;
/** Whoever renews does so long before. */
const endingSoonMs = 7 * dayMs;
const maxNames = 100;

const checks: readonly ((candidate: Candidate) => Fault | null)[] = [
  ({ secret }) =>
    secret.type === 'kubernetes.io/tls'
      ? null
      : invalid(`it is of type ${secret.type ?? 'Opaque'}, not kubernetes.io/tls`),
  ({ chain }) => (chain === '' ? invalid('it has no tls.crt') : null),
  ({ key }) => (key === '' ? invalid('it has no tls.key') : null),
  ({ certificate }) => (parses(certificate) ? null : invalid('its tls.crt is no certificate in PEM')),
  ({ key }) => (parses(() => createPrivateKey(key)) ? null : invalid('its tls.key is no private key in PEM')),
  ({ certificate, key }) =>
    certificate().checkPrivateKey(createPrivateKey(key)) ? null : invalid('its tls.key is not the key of its tls.crt'),
  ({ certificate, demand }) => missingNames(certificate(), demand),
  ({ certificate, now }) =>
    certificate().validFromDate > now
      ? invalid(`it is not valid before ${certificate().validFromDate.toISOString()}`)
      : null,
  ({ certificate, now }) =>
    certificate().validToDate <= now
      ? { reason: 'Expired', message: `the certificate ended at ${certificate().validToDate.toISOString()}` }
      : null,
];

/** Of a Secret of type kubernetes.io/tls. */
export function judgeCertificate(secret: TlsSecret, demand: Demand, now: Date): Verdict {
  const chain = decoded(secret, 'tls.crt');
  const key = decoded(secret, 'tls.key');
  let parsed: X509Certificate | null = null;
  const certificate = (): X509Certificate => (parsed ??= new X509Certificate(chain));
  const candidate: Candidate = { secret, demand, now, chain, key, certificate };
  for (const check of checks) {
    const fault = check(candidate);
    if (fault) return { kind: 'bad', fault };
  }
  const { validToDate } = certificate();
  return {
    kind: 'good',
    certificate: {
      material: { certificate: chain, privateKey: key },
      names: namesOf(certificate()).slice(0, maxNames),
      notAfter: validToDate,
    },
    isEndingSoon: validToDate.getTime() - now.getTime() < endingSoonMs,
  };
}

/** Canonical DNS names of the certificate; addresses are left out. */
export function namesOf(certificate: X509Certificate): readonly string[] {
  const names = (certificate.subjectAltName ?? '').split(', ').flatMap((entry) => {
    if (!entry.startsWith('DNS:')) return [];
    const name = entry.slice('DNS:'.length);
    const below = name.startsWith('*.') ? name.slice(2) : name;
    const canonical = canonicalDomain(below);
    return canonical === null
      ? []
      : [canonical === below.toLowerCase() && below !== name ? `*.${canonical}` : canonical];
  });
  return [...new Set(names)];
}

function missingNames(certificate: X509Certificate, demand: Demand): Fault | null {
  const names = namesOf(certificate);
  const has = names.length === 0 ? 'no host name' : names.slice(0, 5).join(', ');
  if (demand.kind === 'hosts') {
    const missing = demand.hosts.filter((host) => certificate.checkHost(host) === undefined);
    return missing.length === 0 ? null : invalid(`its certificate is for ${has}, not for ${missing.join(', ')}`);
  }
  const { domain } = demand;
  const isWithin = names.some((name) => name === domain || name.endsWith(`.${domain}`));
  return isWithin ? null : invalid(`its certificate is for ${has}, for no host of ${domain}`);
}

function invalid(message: string): Fault {
  return { reason: 'SecretInvalid', message };
}

function parses(read: () => unknown): boolean {
  try {
    read();
    return true;
  } catch {
    return false;
  }
}

function decoded({ data }: TlsSecret, key: string): string {
  return Buffer.from(data?.[key] ?? '', 'base64').toString('utf8');
}

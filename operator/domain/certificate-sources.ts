/** Where a certificate comes from: a Secret that is given, cert-manager, or our own authority; ACME is acme-source.ts. */
import { X509Certificate } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { Clock } from '#shared/base/clock.ts';
import type { CertificateSource } from '#shared/db/domain-tables.ts';
import type { CertificateMaterial } from '#shared/directory/certificates.ts';
import type { ResourceCaches } from '#operator/foundation/resource-caches.ts';
import type { KubeClient } from '#operator/kube/client.ts';
import { secrets, type Secret } from '#operator/kube/core-resources.ts';
import { isForbidden, isInvalid, isNotFound } from '#operator/kube/kube-error.ts';
import type { ResourceType } from '#operator/kube/resource.ts';
import type { ConditionReport } from '#operator/status/condition.ts';
import { issue } from './authority.ts';
import { authoritySecretName, openAuthority, publishTrust, trustSecretName } from './certificate-authority-secret.ts';
import {
  certificateNames,
  judgeIssuance,
  managedCertificates,
  wantedCertificate,
  type IssuerRef,
  type ManagedCertificate,
} from './cert-manager.ts';
import { judgeCertificate, namesOf, type CheckedCertificate } from './certificate-policy.ts';
import type { CertificateSubject } from './certificate-subject.ts';
import type { OptionalKind, Presence } from './optional-kind.ts';

export type SourceOptions = {
  readonly client: KubeClient;
  readonly caches: Pick<ResourceCaches, 'managedSecrets'>;
  readonly certificates: OptionalKind<ManagedCertificate>;
  /** The operator's. */
  readonly namespace: string;
  readonly clock: Clock;
};

/** `certificate`: null where there is none to be used; what servers had before stays. */
export type Obtained = {
  readonly source: CertificateSource;
  readonly certificate: CheckedCertificate | null;
  readonly condition: ConditionReport;
  readonly secretName: string;
  readonly failedAttempts?: number;
  readonly nextAttempt?: Date | null;
  /** When another takes its place, where we see to that. */
  readonly renewal?: Date;
  /** When to look again; left out: as its condition has it. */
  readonly afterMs?: number;
};

const notServed: Readonly<
  Record<Exclude<Presence, 'served' | 'starting'>, { readonly reason: string; readonly message: string }>
> = {
  missing: {
    reason: 'CertManagerNotInstalled',
    message: 'spec.tls.mode is CertManager, but the cluster has no cert-manager',
  },
  off: { reason: 'CertManagerOff', message: 'the operator is told not to use cert-manager (CERT_MANAGER)' },
  unreadable: {
    reason: 'CertManagerUnreadable',
    message: 'the operator can’t read Certificates; its role has to allow it',
  },
};

const dayMs = 24 * 3600 * 1000;
/** Of the 90 days that our own last. */
const renewBeforeMs = 30 * dayMs;

export async function fromSecret(
  { client, clock }: SourceOptions,
  subject: CertificateSubject,
  name: string,
): Promise<Obtained> {
  const problem = (reason: string, message: string): Obtained => ({
    source: 'secret',
    certificate: null,
    condition: report('False', reason, message),
    secretName: name,
  });
  const secret = await readSecret(client, subject, name);
  if (secret === 'missing') return problem('SecretNotFound', `there is no Secret ${name}`);
  if (secret === 'forbidden') return problem('SecretUnreadable', `the operator may not read the Secret ${name}`);
  const verdict = judgeCertificate(secret, subject.demand, clock.now());
  if (verdict.kind === 'bad') {
    return problem(verdict.fault.reason, `the Secret ${name} can't be used: ${verdict.fault.message}`);
  }
  const { certificate, isEndingSoon } = verdict;
  return { source: 'secret', certificate, condition: good(certificate, isEndingSoon), secretName: name };
}

/** `starting`: it is not known yet whether the cluster has cert-manager. */
export async function fromCertManager(
  options: SourceOptions,
  subject: CertificateSubject,
  issuerRef: IssuerRef,
): Promise<Obtained | 'starting'> {
  const { object } = subject;
  const secretName = certificateNames(object).secret;
  const problem = (condition: ConditionReport, more: Partial<Obtained> = {}): Obtained => {
    return { source: 'cert-manager', certificate: null, condition, secretName, ...more };
  };
  const { presence } = options.certificates;
  if (presence === 'starting') return 'starting';
  if (presence !== 'served') {
    const { reason, message } = notServed[presence];
    return problem(report('False', reason, message));
  }
  const wanted = wantedCertificate(object, subject.hosts, issuerRef);
  const asked = await putCertificateRequest(options, subject, wanted);
  if (typeof asked === 'string') return problem(report('False', 'CertificateRefused', asked));
  const isReady = judgeIssuance(asked, null).condition === null;
  const issuance = judgeIssuance(asked, isReady ? null : await isIssuerThere(options.client, subject, issuerRef));
  const { failedAttempts, nextAttempt } = issuance;
  const usable = await fromSecret(options, subject, secretName);
  // While a new one is issued, or can't be, the one that is there is as good as it was.
  if (usable.certificate) {
    const condition = issuance.condition?.reason === 'IssuanceFailed' ? issuance.condition : usable.condition;
    return {
      ...usable,
      source: 'cert-manager',
      condition: { ...condition, status: 'True' },
      failedAttempts,
      nextAttempt,
    };
  }
  return problem(issuance.condition ?? usable.condition, { failedAttempts, nextAttempt });
}

/** `inUse`: the row's; it is kept until it is near its end, for other names or from another authority. */
export async function fromAuthority(
  options: SourceOptions,
  subject: CertificateSubject,
  inUse: CertificateMaterial | null,
): Promise<Obtained> {
  const { client, caches, clock } = options;
  const { object, hosts } = subject;
  const authority = await openAuthority(options);
  if (authority === 'taken') {
    const message = `there is a Secret ${options.namespace}/${authoritySecretName} already that the operator did not make`;
    const condition = report('False', 'SecretNotOwned', message);
    return { source: 'self-signed', certificate: null, condition, secretName: authoritySecretName };
  }
  const secretName = trustSecretName(object);
  const known = caches.managedSecrets.get(object.metadata.namespace ?? '', secretName);
  const isPublished = await publishTrust(client, object, known, authority.trusted);
  const isKept = inUse !== null && isGood(inUse, hosts, authority.material.certificate, clock.now());
  const material = isKept ? inUse : await issue(authority.material, hosts, clock.now());
  const certificate = new X509Certificate(material.certificate);
  const checked = { material, names: namesOf(certificate), notAfter: certificate.validToDate };
  const message = `made by the operator itself, until ${checked.notAfter.toISOString()}; clients find whom to trust in the Secret ${secretName}`;
  const condition = isPublished
    ? report('True', 'SelfSigned', message)
    : report('False', 'SecretNotOwned', `there is a Secret ${secretName} already that the operator did not make`);
  return { source: 'self-signed', certificate: checked, condition, secretName };
}

function isGood(
  { certificate: chain }: CertificateMaterial,
  hosts: readonly string[],
  authority: string,
  now: Date,
): boolean {
  const certificate = new X509Certificate(chain);
  return (
    certificate.validToDate.getTime() - now.getTime() > renewBeforeMs &&
    isDeepStrictEqual(namesOf(certificate), hosts) &&
    certificate.verify(new X509Certificate(authority).publicKey)
  );
}

/** A text: why the API server does not take it. */
async function putCertificateRequest(
  { client, certificates }: SourceOptions,
  { object }: CertificateSubject,
  wanted: ReturnType<typeof wantedCertificate>,
): Promise<ManagedCertificate | string> {
  const { namespace = '', uid } = object.metadata;
  const { name } = wanted.metadata;
  const isOurs = ({ metadata }: ManagedCertificate): boolean =>
    metadata.ownerReferences?.some((owner) => owner.uid === uid) === true;
  const known = certificates.get(namespace, name);
  if (known && isOurs(known) && isAsked(known, wanted)) return known;
  try {
    const other = known ?? (await client.get(managedCertificates, { namespace, name }).catch(ignoreMissing));
    if (other && !isOurs(other)) return `there is a Certificate ${name} already that is not ours`;
    return await client.apply(managedCertificates, wanted);
  } catch (error) {
    if (isForbidden(error) || isInvalid(error))
      return `the API server does not take the Certificate ${name}: ${error.reason}`;
    throw error;
  }
}

function isAsked({ spec }: ManagedCertificate, wanted: ReturnType<typeof wantedCertificate>): boolean {
  const essence = ({ secretName, dnsNames, issuerRef }: ManagedCertificate['spec']): unknown => ({
    secretName,
    dnsNames,
    issuerRef,
  });
  return isDeepStrictEqual(essence(spec), essence(wanted.spec));
}

/** Null: nobody knows; external issuers have kinds of their own. */
async function isIssuerThere(
  client: KubeClient,
  { object }: CertificateSubject,
  { group, kind, name }: IssuerRef,
): Promise<boolean | null> {
  if (group !== 'cert-manager.io') return null;
  const isNamespaced = kind !== 'ClusterIssuer';
  const plural = isNamespaced ? 'issuers' : 'clusterissuers';
  const type: ResourceType = { group, version: 'v1', plural, kind, isNamespaced };
  const { namespace = '' } = object.metadata;
  try {
    await client.get(type, isNamespaced ? { namespace, name } : { name });
    return true;
  } catch (error) {
    if (isNotFound(error)) return false;
    if (isForbidden(error)) return null;
    throw error;
  }
}

async function readSecret(
  client: KubeClient,
  { object }: CertificateSubject,
  name: string,
): Promise<Secret | 'missing' | 'forbidden'> {
  try {
    return await client.get(secrets, { namespace: object.metadata.namespace ?? '', name });
  } catch (error) {
    if (isNotFound(error)) return 'missing';
    if (isForbidden(error)) return 'forbidden';
    throw error;
  }
}

function ignoreMissing(error: unknown): null {
  if (isNotFound(error)) return null;
  throw error;
}

function good({ names, notAfter }: CheckedCertificate, isEndingSoon: boolean): ConditionReport {
  const message = `for ${names.slice(0, 5).join(', ')}, until ${notAfter.toISOString()}`;
  return report('True', isEndingSoon ? 'ExpiringSoon' : 'Issued', message);
}

function report(status: ConditionReport['status'], reason: string, message: string): ConditionReport {
  return { type: 'CertificateReady', status, reason, message };
}

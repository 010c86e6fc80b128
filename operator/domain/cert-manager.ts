/** Certificates of cert-manager: what is asked of it, and what it says. Pure. */
import type { ConditionReport } from '#operator/status/condition.ts';
import { refOf, type KubeObject, type ResourceType, type Writable } from '#operator/kube/resource.ts';
import { managedLabel } from '#operator/foundation/resource-caches.ts';

export type IssuerRef = { readonly name: string; readonly kind: string; readonly group: string };

type CertificateCondition = {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
  readonly observedGeneration?: number;
};

export type ManagedCertificate = KubeObject & {
  readonly spec: {
    readonly secretName: string;
    readonly dnsNames: readonly string[];
    readonly issuerRef: IssuerRef;
    readonly privateKey?: { readonly algorithm: string; readonly size: number; readonly rotationPolicy: string };
  };
  readonly status?: {
    readonly conditions?: readonly CertificateCondition[];
    readonly failedIssuanceAttempts?: number;
    readonly lastFailureTime?: string;
  };
};

export const managedCertificates: ResourceType<ManagedCertificate> = {
  group: 'cert-manager.io',
  version: 'v1',
  plural: 'certificates',
  kind: 'Certificate',
  isNamespaced: true,
};

/** Named after the resource that it is for, as its Secret is. */
export function certificateNames({ kind, metadata }: KubeObject): { readonly object: string; readonly secret: string } {
  const object = `${metadata.name}-${kind === 'MailServer' ? 'server' : 'mail'}`;
  return { object, secret: `${object}-tls` };
}

export function wantedCertificate(
  owner: KubeObject,
  dnsNames: readonly string[],
  issuerRef: IssuerRef,
): Writable<ManagedCertificate> {
  const { apiVersion, kind, namespace = '', name, uid } = refOf(owner);
  const names = certificateNames(owner);
  return {
    apiVersion: 'cert-manager.io/v1',
    kind: 'Certificate',
    metadata: {
      namespace,
      name: names.object,
      labels: { [managedLabel]: 'true' },
      ownerReferences: [{ apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: false }],
    },
    spec: {
      secretName: names.secret,
      dnsNames,
      issuerRef,
      privateKey: { algorithm: 'ECDSA', size: 256, rotationPolicy: 'Always' },
    },
  };
}

/** How long cert-manager waits after a failure doubles, from an hour to 32. */
const firstWaitMs = 3600_000;
const mostDoublings = 5;

export type Issuance = {
  /** Null: it is issued. */
  readonly condition: ConditionReport | null;
  readonly failedAttempts: number;
  readonly nextAttempt: Date | null;
};

/** What has become of a Certificate. `isIssuerThere`: null where nobody could look. */
export function judgeIssuance(certificate: ManagedCertificate, isIssuerThere: boolean | null): Issuance {
  const { failedIssuanceAttempts: failedAttempts = 0 } = certificate.status ?? {};
  const about = { failedAttempts, nextAttempt: nextAttempt(certificate) };
  const ready = said(certificate, 'Ready');
  const isNow = (ready?.observedGeneration ?? 0) === (certificate.metadata.generation ?? 0);
  if (ready?.status === 'True' && isNow) return { condition: null, ...about };
  const { name, kind } = certificate.spec.issuerRef;
  if (isIssuerThere === false) return { condition: report('IssuerNotFound', `there is no ${kind} ${name}`), ...about };
  const told = said(certificate, 'Issuing')?.message ?? ready?.message;
  if (failedAttempts > 0) {
    const count = failedAttempts === 1 ? '1 attempt' : `${failedAttempts} attempts`;
    return {
      condition: report('IssuanceFailed', `${count} failed: ${told ?? 'cert-manager does not say why'}`),
      ...about,
    };
  }
  const message = `waiting for cert-manager: ${told ?? 'it has not taken it up yet'}`;
  return { condition: report('Issuing', message), ...about };
}

function said({ status }: ManagedCertificate, type: string): CertificateCondition | undefined {
  return status?.conditions?.find((each) => each.type === type);
}

function nextAttempt({ status }: ManagedCertificate): Date | null {
  const { failedIssuanceAttempts = 0, lastFailureTime } = status ?? {};
  if (failedIssuanceAttempts === 0 || lastFailureTime === undefined) return null;
  const waitMs = firstWaitMs * 2 ** Math.min(mostDoublings, failedIssuanceAttempts - 1);
  return new Date(new Date(lastFailureTime).getTime() + waitMs);
}

function report(reason: string, message: string): ConditionReport {
  return { type: 'CertificateReady', status: 'False', reason, message: message.slice(0, 1024) };
}

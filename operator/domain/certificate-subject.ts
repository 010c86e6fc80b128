/** What a MailServer or a MailDomain asks of its certificate. Pure. */
import { mailDomainSpec } from '#shared/provisioning/mail-domain.ts';
import { mailServerSpec } from '#shared/provisioning/mail-server.ts';
import type { MailDomain } from '#operator/api/mail-domain.ts';
import type { MailServer } from '#operator/api/mail-server.ts';
import type { IssuerRef } from './cert-manager.ts';
import type { Demand } from './certificate-policy.ts';

export type CertificateSubject = {
  readonly object: MailServer | MailDomain;
  /** Of the row. */
  readonly owner: string;
  /** Hosts that a certificate is made for. */
  readonly hosts: readonly [string, ...string[]];
  /** What one that is given has to be for. */
  readonly demand: Demand;
  readonly isDefault: boolean;
  readonly wish:
    | { readonly mode: 'Server' | 'None' | 'SelfSigned' | 'ACME' }
    | { readonly mode: 'Secret'; readonly secretName: string }
    | { readonly mode: 'CertManager'; readonly issuerRef: IssuerRef };
};

/** Null: the spec makes no sense, which is told elsewhere. */
export function subjectOf(object: MailServer | MailDomain): CertificateSubject | null {
  const owner = `${object.kind}/${object.metadata.uid}`;
  if (object.kind === 'MailServer') {
    const { data: spec } = mailServerSpec.safeParse(object.spec);
    if (spec === undefined) return null;
    const hosts: readonly [string] = [spec.hostname];
    const wish = wishOf(spec.tls);
    return wish && { object, owner, hosts, demand: { kind: 'hosts', hosts }, isDefault: true, wish };
  }
  const { data: spec } = mailDomainSpec.safeParse(object.spec);
  if (spec === undefined) return null;
  const wish = wishOf(spec.tls ?? { mode: 'Server' });
  const hosts: readonly [string] = [`mail.${spec.domain}`];
  return wish && { object, owner, hosts, demand: { kind: 'within', domain: spec.domain }, isDefault: false, wish };
}

type Source = {
  readonly mode: string;
  readonly issuerRef?: IssuerRef | undefined;
  readonly secretRef?: { readonly name: string } | undefined;
};

function wishOf({ mode, issuerRef, secretRef }: Source): CertificateSubject['wish'] | null {
  switch (mode) {
    case 'Secret':
      return secretRef ? { mode, secretName: secretRef.name } : null;
    case 'CertManager':
      return issuerRef ? { mode, issuerRef } : null;
    case 'Server':
    case 'None':
    case 'SelfSigned':
    case 'ACME':
      return { mode };
    default:
      return null;
  }
}

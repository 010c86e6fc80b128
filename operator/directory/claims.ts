import { claimKey } from '#shared/directory/domain-claims.ts';
import type { MailDomainResource, MailServerResource } from '#shared/provisioning/resource.ts';
import { isListed } from '#shared/reconcile/ready-domains.ts';

/** Whether a domain's name may become local: its namespace has shown that it has the domain, or its MailServer lists it. */
export function isProvedBy(
  claims: ReadonlySet<string>,
  servers: readonly MailServerResource[],
): (domain: MailDomainResource, name: string) => boolean {
  return (domain, name) =>
    claims.has(claimKey({ namespace: domain.namespace, domain: name })) || isListed(servers, domain, name);
}

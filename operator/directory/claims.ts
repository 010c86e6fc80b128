import { claimKey, type Claims } from '#shared/directory/domain-claims.ts';
import type { MailServerResource } from '#shared/provisioning/resource.ts';
import { isListed, type IsProved } from '#shared/reconcile/ready-domains.ts';

/** Whether a domain's name may become local: its namespace has shown that it has the domain, or its MailServer lists it. */
export function isProvedBy(claims: Claims, servers: readonly MailServerResource[]): IsProved {
  return (domain, name) =>
    claims.has(claimKey({ namespace: domain.namespace, domain: name })) || isListed(servers, domain, name);
}

/** Whether that was shown so long ago that who had the domain before has had the time to object. */
export function isEstablishedBy(claims: Claims, now: Date, handoverSeconds: number): IsProved {
  const latest = now.getTime() - handoverSeconds * 1000;
  return ({ namespace }, name) => (claims.get(claimKey({ namespace, domain: name }))?.getTime() ?? Infinity) <= latest;
}

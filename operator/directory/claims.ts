import { claimKey } from '#shared/directory/domain-claims.ts';
import type { MailDomainResource, MailServerResource } from '#shared/provisioning/resource.ts';

/**
 * Whether a domain's name may become local: its namespace has shown that it has the domain, or the MailServer lists it
 * (`*.example.org` stands for all below it).
 */
export function isProvedBy(
  claims: ReadonlySet<string>,
  servers: readonly MailServerResource[],
): (domain: MailDomainResource, name: string) => boolean {
  return ({ namespace, spec }, name) => {
    if (claims.has(claimKey({ namespace, domain: name }))) return true;
    const { serverRef } = spec;
    const at = serverRef.namespace ?? namespace;
    const server = servers.find((each) => each.name === serverRef.name && each.namespace === at);
    return server?.spec.domains.some((listed) => covers(listed, name)) === true;
  };
}

function covers(listed: string, name: string): boolean {
  return listed.startsWith('*.') ? name.endsWith(listed.slice(1)) : listed === name;
}

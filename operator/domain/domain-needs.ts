/** What a MailDomain and its MailServer ask of the DNS. Pure. */
import { createHash } from 'node:crypto';
import type { DkimRecord } from '#shared/directory/dkim-keys.ts';
import { challengeToken, isListedDomain } from '#shared/directory/domain-claims.ts';
import { formatAddress } from '#shared/text/address.ts';
import type { MailDomainSpec } from '#shared/provisioning/mail-domain.ts';
import type { MailServerSpec } from '#shared/provisioning/mail-server.ts';
import type { ClientServices, DomainNeeds } from './wanted-records.ts';

export type NeedsInput = {
  readonly namespace: string;
  readonly domain: MailDomainSpec;
  readonly server: MailServerSpec;
  readonly serverUid: string;
  readonly dkim: readonly DkimRecord[];
  /** By domain name, the namespaces that showed to have it. */
  readonly claimants: ReadonlyMap<string, readonly string[]>;
};

export type ClaimState = 'Proved' | 'Listed' | 'Open';

/** Ports of RFC 8314 and RFC 6409; the chart's Services have them. */
const services: ClientServices = { imaps: 993, submissions: 465, submission: 587 };

/** Where mail programs connect to: with a certificate of its own a domain has a host of its own. */
function clientHost(domain: MailDomainSpec, server: MailServerSpec): string {
  return (domain.tls?.mode ?? 'Server') === 'Server' ? server.hostname : `mail.${domain.domain}`;
}

export function domainNames({ domain, aliasDomains }: MailDomainSpec): readonly string[] {
  return [domain, ...aliasDomains];
}

/** Whether the namespace may have mail of the name; see shared/directory/domain-claims.ts. */
export function claimState(name: string, { namespace, server, claimants }: NeedsInput): ClaimState {
  if (isListedDomain(server.domains, name)) return 'Listed';
  return claimants.get(name)?.includes(namespace) === true ? 'Proved' : 'Open';
}

/** Whether another namespace has shown the same: then the record must stay where it is. */
function isContested(name: string, { namespace, claimants }: Pick<NeedsInput, 'namespace' | 'claimants'>): boolean {
  return claimants.get(name)?.some((other) => other !== namespace) === true;
}

export function domainNeeds(input: NeedsInput): DomainNeeds {
  const { namespace, domain, server, serverUid, dkim } = input;
  const open = domainNames(domain).filter((name) => {
    const state = claimState(name, input);
    return state === 'Open' || (state === 'Proved' && isContested(name, input));
  });
  return {
    domain: domain.domain,
    aliasDomains: domain.aliasDomains,
    hostname: server.hostname,
    clientHost: clientHost(domain, server),
    services,
    dkim,
    dmarc: {
      policy: domain.dmarc?.policy ?? 'none',
      percent: domain.dmarc?.percent ?? null,
      rua: (domain.dmarc?.rua ?? []).map(formatAddress),
    },
    mtaSts: mtaSts(domain, server),
    challenges: new Map(open.map((name) => [name, challengeToken(serverUid, { namespace, domain: name })])),
    addresses: server.publicAddresses,
  };
}

/** RFC 8461 section 3.1: the id is another one whenever the policy is. */
function mtaSts({ mtaSts: wished }: MailDomainSpec, { hostname }: MailServerSpec): DomainNeeds['mtaSts'] {
  if (wished?.mode === undefined || wished.mode === 'none') return null;
  const policy = `${wished.mode} ${wished.maxAge ?? ''} ${hostname}`;
  return { id: createHash('sha256').update(policy).digest('hex').slice(0, 16) };
}

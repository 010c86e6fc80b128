/**
 * Which TLS a host of a domain must have: DANE (RFC 7672) before MTA-STS (RFC 8461), and neither ever loosens the
 * other; then what the route asks; then whatever is offered (RFC 7435).
 */
import type { Clock } from '#shared/base/clock.ts';
import type { TlsaRecord, Resolver } from '#shared/dns/answer.ts';
import { describeDnsFailure } from '#shared/dns/answer.ts';
import type { MailHost, MailHosts } from '#shared/dns/mail-hosts.ts';
import type { Validation } from '#shared/dns/validation.ts';
import type { TlsDemand, TlsSession } from '#server/mail/outbound-routes.ts';
import { isUsableTlsa } from './dane.ts';
import { daneTls, opportunisticTls, pkixTls, withoutTls, type HostTls } from './host-tls.ts';
import { allowsMx, type StsFinding, type StsPolicies } from './sts-policies.ts';

export type TlsPoliciesOptions = {
  readonly resolver: Resolver;
  readonly validation: () => Promise<Validation>;
  readonly sts: StsPolicies;
  readonly clock: Clock;
};

type FoundHosts = Extract<MailHosts, { kind: 'hosts' }>;

export type DirectHost = {
  readonly domain: string;
  readonly hosts: FoundHosts;
  readonly host: MailHost;
  readonly port: number;
  readonly demand: TlsDemand;
  /** RFC 8689: only a host whose name and certificate are sure. */
  readonly requiresTls: boolean;
  /** RFC 8689 section 3: DANE and MTA-STS are passed over. What the route asks for stays. */
  readonly isTlsWaived: boolean;
};

/** The part of a session's report (RFC 8460) that is known before it. */
export type ReportedPolicy = Pick<TlsSession, 'policyDomain' | 'policyType' | 'policyStrings' | 'policyMx'>;

export type HostPolicy =
  | { readonly kind: 'tls'; readonly tls: HostTls; readonly report: ReportedPolicy; readonly problem: string | null }
  /** No session with this host. `isPermanent`: trying later changes nothing. */
  | {
      readonly kind: 'refused';
      readonly isPermanent: boolean;
      readonly status: string;
      readonly text: string;
      /** A result-type of RFC 8460; null where it is our own demand that is not met. */
      readonly result: string | null;
      readonly report: ReportedPolicy;
    };

type Dane =
  | { readonly kind: 'none' }
  | { readonly kind: 'failure'; readonly text: string }
  | { readonly kind: 'records'; readonly baseDomain: string; readonly records: readonly TlsaRecord[] };

export class TlsPolicies {
  readonly #options: TlsPoliciesOptions;

  constructor(options: TlsPoliciesOptions) {
    this.#options = options;
  }

  async forHost(about: DirectHost, signal: AbortSignal): Promise<HostPolicy> {
    const { domain, host, demand } = about;
    const noPolicy: ReportedPolicy = {
      policyDomain: domain,
      policyType: 'no-policy-found',
      policyStrings: [],
      policyMx: [],
    };
    if (demand === 'disabled') {
      if (about.requiresTls) return refusedRequireTls(about, noPolicy);
      return { kind: 'tls', tls: withoutTls, report: noPolicy, problem: null };
    }
    if (about.isTlsWaived && demand !== 'dane' && demand !== 'mta-sts') return withoutPolicy(about, noPolicy, null);
    const dane = await this.#dane(about, signal);
    if (dane.kind === 'failure') {
      const report = { ...noPolicy, policyType: 'tlsa' as const };
      return {
        kind: 'refused',
        isPermanent: false,
        status: '4.7.5',
        text: dane.text,
        result: 'dnssec-invalid',
        report,
      };
    }
    if (dane.kind === 'records') return this.#underDane(about, dane);
    if (demand === 'dane') {
      const text = `${host.name} has no TLSA records in a signed zone, and the route asks for DANE`;
      return { kind: 'refused', isPermanent: false, status: '4.7.5', text, result: 'dane-required', report: noPolicy };
    }
    const sts = await this.#options.sts.find(domain);
    const mode = sts.policy?.mode ?? 'none';
    if (sts.policy && mode !== 'none') return underSts(about, sts, sts.policy);
    if (demand === 'mta-sts') {
      const text = `${domain} has no MTA-STS policy, and the route asks for one`;
      return { kind: 'refused', isPermanent: false, status: '4.7.5', text, result: null, report: noPolicy };
    }
    return withoutPolicy(about, noPolicy, sts.problem);
  }

  #underDane(about: DirectHost, { baseDomain, records }: Extract<Dane, { kind: 'records' }>): HostPolicy {
    const { domain, hosts, host, requiresTls } = about;
    const usable = records.filter(isUsableTlsa);
    const report: ReportedPolicy = {
      policyDomain: domain,
      policyType: 'tlsa',
      policyStrings: records.map(formatTlsa),
      policyMx: [host.name],
    };
    // RFC 8689 section 4.2.1 asks for a certificate that is verified.
    if (requiresTls && usable.length === 0) return refusedRequireTls(about, report);
    const names = [...new Set([baseDomain, host.name, domain, ...(hosts.isByMx ? [hosts.canonicalName] : [])])];
    const tls = daneTls({ baseDomain, names, records: usable, now: this.#options.clock.now() });
    return { kind: 'tls', tls, report, problem: usable.length === 0 ? 'tlsa-invalid' : null };
  }

  /** RFC 7672 section 2.2: each step from the domain to the TLSA records must be signed, or there is no DANE. */
  async #dane({ hosts, host, port }: DirectHost, signal: AbortSignal): Promise<Dane> {
    if (!hosts.isAuthentic || !host.hasAuthenticAddresses) return { kind: 'none' };
    if (!(await this.#options.validation()).isValidating) return { kind: 'none' };
    // RFC 7672 section 2.2.2: where CNAMEs led first, then the name itself.
    for (const baseDomain of new Set([host.canonicalHost, host.name])) {
      const answer = await this.#options.resolver.resolve(`_${port}._tcp.${baseDomain}`, 'TLSA', signal);
      if (answer.kind === 'failure') {
        // RFC 7672 section 2.1.2: whoever can suppress the answer must not gain by it.
        const text = `the TLSA records of ${baseDomain} could not be looked up: ${describeDnsFailure(answer.reason)}`;
        return { kind: 'failure', text };
      }
      if (answer.kind === 'records' && answer.isAuthentic)
        return { kind: 'records', baseDomain, records: answer.records };
    }
    return { kind: 'none' };
  }
}

function underSts(about: DirectHost, sts: StsFinding, policy: NonNullable<StsFinding['policy']>): HostPolicy {
  const { domain, host, requiresTls } = about;
  const report: ReportedPolicy = {
    policyDomain: domain,
    policyType: 'sts',
    policyStrings: [
      'version: STSv1',
      `mode: ${policy.mode}`,
      ...policy.mx.map((mx) => `mx: ${mx}`),
      `max_age: ${policy.maxAgeSeconds}`,
    ],
    policyMx: policy.mx,
  };
  const isEnforced = policy.mode === 'enforce';
  if (isEnforced && !allowsMx(policy, host.name)) {
    const text = `${host.name} is not a host of ${domain} by its MTA-STS policy`;
    return { kind: 'refused', isPermanent: false, status: '4.7.5', text, result: 'validation-failure', report };
  }
  if (requiresTls && !isEnforced && !about.hosts.isAuthentic) return refusedRequireTls(about, report);
  if (isEnforced || requiresTls || about.demand === 'required') {
    const tls = pkixTls({ policy: 'mta-sts', start: 'required', host: host.name, ca: null, isBinding: true });
    return { kind: 'tls', tls, report, problem: sts.problem };
  }
  // Testing: what would have failed is told, and the mail goes (RFC 8461 section 5).
  const problem = allowsMx(policy, host.name) ? sts.problem : 'validation-failure';
  return { kind: 'tls', tls: { ...opportunisticTls(host.name), policy: 'mta-sts' }, report, problem };
}

function withoutPolicy(about: DirectHost, report: ReportedPolicy, problem: StsFinding['problem']): HostPolicy {
  const { host, hosts, demand, requiresTls } = about;
  if (requiresTls) {
    // RFC 8689 section 4.2.1: the host's name itself must be sure.
    if (!hosts.isAuthentic) return refusedRequireTls(about, report);
    const tls = pkixTls({ policy: 'requiretls', start: 'required', host: host.name, ca: null, isBinding: true });
    return { kind: 'tls', tls, report, problem };
  }
  if (demand === 'required' || demand === 'implicit') {
    const start = demand === 'implicit' ? 'implicit' : 'required';
    const tls = pkixTls({ policy: 'route', start, host: host.name, ca: null, isBinding: true });
    return { kind: 'tls', tls, report, problem };
  }
  return { kind: 'tls', tls: opportunisticTls(host.name), report, problem };
}

function refusedRequireTls({ domain }: DirectHost, report: ReportedPolicy): HostPolicy {
  const text = `the sender asks for REQUIRETLS, but ${domain} names its hosts neither in a signed zone nor by MTA-STS`;
  return { kind: 'refused', isPermanent: true, status: '5.7.30', text, result: null, report };
}

/** RFC 8460 section 4.4: as in a zone file. */
function formatTlsa({ usage, selector, matchingType, certificate }: TlsaRecord): string {
  return `${usage} ${selector} ${matchingType} ${certificate.toString('hex')}`;
}

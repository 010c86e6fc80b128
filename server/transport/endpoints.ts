/** Where the connections of a route's target can go, in the order in which they are tried. */
import { isIP } from 'node:net';
import type { Resolver } from '#shared/dns/answer.ts';
import { describeDnsFailure } from '#shared/dns/answer.ts';
import { describeRefusal, type AddressGuard } from '#shared/dns/address-guard.ts';
import { addressOfLiteral, resolveAddresses } from '#shared/dns/host-addresses.ts';
import { findMailHosts, type MailHost, type MailHosts } from '#shared/dns/mail-hosts.ts';
import { networkMatcher } from '#shared/dns/networks.ts';
import type { DirectTarget, SmtpTarget } from '#server/mail/outbound-routes.ts';
import { ownFailure, type Failure } from './failure.ts';
import { opportunisticTls, pkixTls, withoutTls, type HostTls } from './host-tls.ts';
import type { PeerAddress } from './peer-socket.ts';
import type { ReportedPolicy, TlsPolicies } from './tls-policies.ts';

/** One host with its addresses. */
export type Endpoint = {
  readonly host: string;
  readonly peers: readonly PeerAddress[];
  readonly protocol: 'smtp' | 'lmtp';
  readonly tls: HostTls;
  /** Whether the name of the host is sure, as RFC 8689 asks. */
  readonly report: { readonly policy: ReportedPolicy; readonly problem: string | null } | null;
  readonly target: SmtpTarget | DirectTarget;
};

export type EndpointsOptions = {
  readonly resolver: Resolver;
  readonly guard: AddressGuard;
  readonly policies: TlsPolicies;
  readonly isOwnName: (name: string) => boolean;
  readonly isOwnAddress: (address: string) => boolean;
  readonly random: () => number;
};

export type Wanted = {
  readonly domain: string | null;
  readonly requiresTls: boolean;
  /** The sender passes over what the recipient's side asks of TLS. */
  readonly isTlsWaived: boolean;
  readonly signal: AbortSignal;
};

/** A refused host, as TLS reports count it. */
export type RefusedHost = { readonly failure: Failure; readonly report: ReportedPolicy; readonly result: string };

export class Endpoints {
  readonly #options: EndpointsOptions;

  constructor(options: EndpointsOptions) {
    this.#options = options;
  }

  /** Hosts one after the other, or why there is none; each is looked at only when it is its turn. */
  async *of(
    target: SmtpTarget | DirectTarget,
    wanted: Wanted,
  ): AsyncGenerator<Endpoint | Failure | RefusedHost, void, void> {
    if (target.kind !== 'direct') yield* this.#named(target, wanted);
    else if (wanted.domain === null)
      yield ownFailure('5.4.4', 'the route has no next hop for this recipient', 'policy');
    else yield* this.#direct(target, wanted.domain, wanted);
  }

  /** A host that the administrator chose: its address is not for us to judge. */
  async *#named(target: SmtpTarget, { requiresTls, signal }: Wanted): AsyncGenerator<Endpoint | Failure, void, void> {
    const { host, port, kind } = target;
    const protocol = kind === 'lmtp' ? 'lmtp' : 'smtp';
    const tls = tlsOf(target, requiresTls);
    if (host.startsWith('/')) {
      yield { host, peers: [{ path: host }], protocol, tls, report: null, target };
      return;
    }
    const found = isIP(host) === 0 ? await resolveAddresses(host, { ...this.#options, signal }) : null;
    const addresses = found?.addresses ?? [host];
    if (addresses.length === 0) {
      const reason = found?.failure;
      const why = reason ? describeDnsFailure(reason) : 'it has no address';
      yield ownFailure('4.4.3', `the route's host ${host} could not be looked up: ${why}`, 'dns', {
        host,
        address: null,
        sourceAddress: null,
      });
      return;
    }
    yield { host, peers: addresses.map((address) => ({ address, port })), protocol, tls, report: null, target };
  }

  async *#direct(
    target: DirectTarget,
    domain: string,
    wanted: Wanted,
  ): AsyncGenerator<Endpoint | Failure | RefusedHost, void, void> {
    const isListed = networkMatcher(target.allowedNetworks);
    const literal = addressOfLiteral(domain);
    const found = literal === null ? await this.#lookUp(domain, wanted.signal) : literalHosts(domain, literal);
    if (found.kind !== 'hosts') {
      yield hostsFailure(domain, found);
      return;
    }
    for (const host of found.hosts) {
      const where = { host: host.name, address: null, sourceAddress: null };
      const [first] = host.addresses;
      const addresses = host.addresses.filter((each) => isListed(each) || this.#options.guard.refusal(each) === null);
      if (addresses.length === 0 && first !== undefined) {
        const refusal = this.#options.guard.refusal(first) ?? 'private';
        const text = `${host.name} is at ${first}, ${describeRefusal(refusal)}, where mail may not go`;
        yield ownFailure('5.4.4', text, 'dns', where);
        continue;
      }
      const about = {
        domain,
        hosts: found,
        host,
        port: target.port,
        demand: target.tls,
        requiresTls: wanted.requiresTls,
        isTlsWaived: wanted.isTlsWaived,
      };
      const policy = await this.#options.policies.forHost(about, wanted.signal);
      if (policy.kind === 'refused') {
        const failure = { ...ownFailure(policy.status, policy.text, 'tls', where), isPermanent: policy.isPermanent };
        yield policy.result === null ? failure : { failure, report: policy.report, result: policy.result };
        continue;
      }
      const peers = addresses.map((address) => ({ address, port: target.port }));
      const report = { policy: policy.report, problem: policy.problem };
      yield { host: host.name, peers, protocol: 'smtp', tls: policy.tls, report, target };
    }
  }

  #lookUp(domain: string, signal: AbortSignal): Promise<MailHosts> {
    return findMailHosts(domain, { ...this.#options, signal });
  }
}

function literalHosts(domain: string, address: string): MailHosts {
  const host: MailHost = {
    name: domain,
    preference: 0,
    addresses: [address],
    hasAuthenticAddresses: false,
    canonicalHost: domain,
    hasName: true,
    failure: null,
  };
  return { kind: 'hosts', hosts: [host], isByMx: false, isAuthentic: false, canonicalName: domain };
}

function hostsFailure(domain: string, found: Exclude<MailHosts, { kind: 'hosts' }>): Failure {
  switch (found.kind) {
    case 'no-such-domain':
      return ownFailure('5.1.2', `there is no domain ${domain}`, 'dns');
    case 'null-mx':
      return ownFailure('5.1.10', `${domain} takes no mail (null MX)`, 'dns');
    case 'no-host':
      return ownFailure('5.4.4', `${domain} has no host for mail: ${found.names.join(', ')} has no address`, 'dns');
    case 'self':
      return ownFailure(
        '5.4.6',
        `mail for ${domain} comes back to us (${found.name}), but the domain is not here`,
        'dns',
      );
    case 'failure':
      return ownFailure('4.4.3', `${found.name} could not be looked up: ${describeDnsFailure(found.reason)}`, 'dns');
    default:
      return found satisfies never;
  }
}

function tlsOf({ tls, host, ca, credentials }: SmtpTarget, requiresTls: boolean): HostTls {
  switch (tls) {
    case 'disabled':
      return withoutTls;
    case 'opportunistic':
      // With a password, or where the sender asks, what is offered is not enough.
      if (credentials === null && !requiresTls) return opportunisticTls(host);
      return pkixTls({ policy: 'route', start: 'required', host, ca, isBinding: true });
    case 'implicit':
      return pkixTls({ policy: 'route', start: 'implicit', host, ca, isBinding: true });
    case 'required':
    // The planner lets DANE and MTA-STS stand with direct targets alone.
    case 'dane':
    case 'mta-sts':
      return pkixTls({ policy: 'route', start: 'required', host, ca, isBinding: true });
    default:
      return tls satisfies never;
  }
}

/** To which hosts a domain's mail goes, and in which order: RFC 5321 section 5.1. */
import { canonicalDomain } from '#shared/text/domain-name.ts';
import { shuffled } from './shuffle.ts';
import type { DnsFailureReason, MxRecord, Resolver } from './answer.ts';
import { resolveAddresses } from './host-addresses.ts';
import type { HostAddresses } from './host-addresses.ts';

/** Hosts of one domain that are looked at; who lists more wants others to work in vain. */
const maxHosts = 20;

export type MailHost = HostAddresses & {
  /** As the MX record names it, or the domain itself; canonical. */
  readonly name: string;
  readonly preference: number;
};

export type MailHosts =
  | {
      readonly kind: 'hosts';
      /** In the order in which they are to be tried; one at least has an address. */
      readonly hosts: readonly MailHost[];
      /** By an MX record; else the domain's own addresses stand in for it. */
      readonly isByMx: boolean;
      /** The MX answer, or that there is none, is signed. */
      readonly isAuthentic: boolean;
      /** Where CNAMEs of the domain led; the domain itself where there are none. */
      readonly canonicalName: string;
    }
  | { readonly kind: 'no-such-domain' }
  /** RFC 7505: the domain says that it takes no mail. */
  | { readonly kind: 'null-mx' }
  /** Nothing it names is a host with an address. */
  | { readonly kind: 'no-host'; readonly names: readonly string[] }
  /** We are the best host for it, but the directory doesn't have it: the mail would come back for ever. */
  | { readonly kind: 'self'; readonly name: string }
  | { readonly kind: 'failure'; readonly reason: DnsFailureReason; readonly name: string };

export type MailHostsOptions = {
  readonly resolver: Resolver;
  /** Whether a host of this name, or at this address, is us. */
  readonly isOwnName: (name: string) => boolean;
  readonly isOwnAddress: (address: string) => boolean;
  /** 0 to 1, for the order within one preference. */
  readonly random: () => number;
  readonly signal?: AbortSignal;
};

/** `domain` is canonical and no address literal. Rejects with the signal's reason alone. */
export async function findMailHosts(domain: string, options: MailHostsOptions): Promise<MailHosts> {
  const answer = await options.resolver.resolve(domain, 'MX', options.signal);
  switch (answer.kind) {
    case 'failure':
      return { kind: 'failure', reason: answer.reason, name: domain };
    case 'no-name':
      return { kind: 'no-such-domain' };
    case 'no-data': {
      // An implicit MX of preference 0; the domain is the host.
      const found = await withAddresses([{ preference: 0, exchange: domain }], options);
      return ordered(found, { isByMx: false, isAuthentic: answer.isAuthentic, canonicalName: domain }, options);
    }
    default: {
      if (answer.records.length === 1 && answer.records[0]?.exchange === '') return { kind: 'null-mx' };
      const records = sortByPreference(answer.records, options.random).slice(0, maxHosts);
      const found = await withAddresses(usableRecords(records), options);
      if (found.length === 0) return { kind: 'no-host', names: records.map(({ exchange }) => exchange) };
      const { isAuthentic, canonicalName } = answer;
      return ordered(found, { isByMx: true, isAuthentic, canonicalName }, options);
    }
  }
}

/** Ascending; hosts of one preference share the load (RFC 5321 section 5.1). */
export function sortByPreference(records: readonly MxRecord[], random: () => number): readonly MxRecord[] {
  return shuffled(records, random).toSorted((a, b) => a.preference - b.preference);
}

/** Null MX among others means nothing (RFC 7505 section 3); an IP address or "_" is no host name. */
function usableRecords(records: readonly MxRecord[]): readonly MxRecord[] {
  const names = new Set<string>();
  return records.flatMap(({ preference, exchange }) => {
    const name = canonicalDomain(exchange);
    if (name === null || names.has(name)) return [];
    names.add(name);
    return [{ preference, exchange: name }];
  });
}

async function withAddresses(records: readonly MxRecord[], options: MailHostsOptions): Promise<readonly MailHost[]> {
  // Bounded by maxHosts.
  return Promise.all(
    records.map(async ({ preference, exchange }) => ({
      name: exchange,
      preference,
      ...(await resolveAddresses(exchange, options)),
    })),
  );
}

type About = Pick<Extract<MailHosts, { kind: 'hosts' }>, 'isByMx' | 'isAuthentic' | 'canonicalName'>;

function ordered(found: readonly MailHost[], about: About, options: MailHostsOptions): MailHosts {
  const isSelf = ({ name, addresses }: MailHost): boolean =>
    options.isOwnName(name) || addresses.some(options.isOwnAddress);
  const self = found.filter(isSelf).toSorted((a, b) => a.preference - b.preference)[0];
  // RFC 5321 section 5.1: hosts that are no better than we are would send it back to us.
  const better = self ? found.filter(({ preference }) => preference < self.preference) : found;
  if (self && better.length === 0) return { kind: 'self', name: self.name };
  const hosts = better.filter(({ addresses }) => addresses.length > 0);
  if (hosts.length > 0) return { kind: 'hosts', hosts, ...about };
  const failed = better.find(({ failure }) => failure !== null);
  if (failed?.failure) return { kind: 'failure', reason: failed.failure, name: failed.name };
  if (!about.isByMx && better.every(({ hasName }) => !hasName)) return { kind: 'no-such-domain' };
  return { kind: 'no-host', names: better.map(({ name }) => name) };
}

/**
 * What an SPF record permits (RFC 7208), and how many questions a receiver asks for it: beyond ten it gives up, and the
 * mail fails. Counts what a sender that nothing matches would cost, which is the most.
 */
import { BlockList, isIP } from 'node:net';
import { canonicalDomain } from '#shared/text/domain-name.ts';
import type { DnsFailureReason, Resolver } from '#shared/dns/answer.ts';

export type SpfFindings = {
  /** Questions beyond the record itself (RFC 7208 section 4.6.4). */
  readonly lookups: number;
  /** One of the addresses may not send, or none was given; null: it depends on what could not be looked up. */
  readonly refused: readonly string[];
  /** What makes the record useless, in words; empty: nothing. */
  readonly fault: string;
  /** A question that nobody answered. */
  readonly failure: DnsFailureReason | null;
};

/** RFC 7208 section 4.6.4. */
export const maxSpfLookups = 10;
/** Ends endless includes; what is counted beyond is of no interest. */
const lookupsTaken = 20;
/** Hosts of one MX that count. */
const maxMxHosts = 10;

type Result = 'pass' | 'fail';

type Walk = {
  readonly resolver: Resolver;
  readonly addresses: readonly string[];
  lookups: number;
  fault: string;
  failure: DnsFailureReason | null;
};

/** `text` is the record of `domain`. `addresses` are those that its mail comes from. Rejects never. */
export async function examineSpf(
  domain: string,
  text: string,
  { resolver, addresses }: Pick<Walk, 'resolver' | 'addresses'>,
): Promise<SpfFindings> {
  const walk: Walk = { resolver, addresses, lookups: 0, fault: '', failure: null };
  const results = await walkRecord(walk, domain, text);
  return {
    lookups: walk.lookups,
    refused: walk.failure === null ? addresses.filter((address) => results.get(address) !== 'pass') : [],
    fault: walk.fault,
    failure: walk.failure,
  };
}

/** By address; those that nothing matched are not there. */
type Results = ReadonlyMap<string, Result>;

async function walkRecord(walk: Walk, domain: string, text: string): Promise<Results> {
  const results = new Map<string, Result>();
  const terms = text.trim().split(/ +/).slice(1);
  for (const term of terms) {
    const mechanism = parseMechanism(term);
    if (mechanism === null) continue;
    const matched = await matchedBy(walk, domain, mechanism);
    for (const address of matched) {
      // The first that matches decides; softly failing is failing, since receivers weigh it as they like.
      if (!results.has(address)) results.set(address, mechanism.qualifier === '+' ? 'pass' : 'fail');
    }
    if (mechanism.name === 'all') return results;
  }
  const target = terms.find((term) => /^redirect=/i.test(term))?.slice('redirect='.length);
  if (target === undefined) return results;
  const beyond = await walkDomain(walk, target);
  for (const [address, result] of beyond) if (!results.has(address)) results.set(address, result);
  return results;
}

type Mechanism = {
  readonly qualifier: string;
  readonly name: string;
  readonly argument: string;
};

/** Null: a modifier (section 6). */
function parseMechanism(term: string): Mechanism | null {
  const [, qualifier = '+', name = '', argument = ''] =
    /^([-+~?])?([a-z][a-z0-9]*)(?![a-z0-9._-]*=)[:]?(.*)$/i.exec(term) ?? [];
  return name === '' ? null : { qualifier, name: name.toLowerCase(), argument };
}

async function matchedBy(walk: Walk, domain: string, { name, argument }: Mechanism): Promise<readonly string[]> {
  switch (name) {
    case 'all':
      return walk.addresses;
    case 'ip4':
    case 'ip6':
      return within(walk, [argument]);
    case 'a':
    case 'mx':
      return matchedByHosts(walk, name, { ...splitCidr(argument), domain });
    case 'include': {
      const results = await walkDomain(walk, argument);
      return [...results].flatMap(([address, result]) => (result === 'pass' ? [address] : []));
    }
    case 'exists':
    case 'ptr':
      // What they match depends on the message or is not to be used any more; they cost a question all the same.
      count(walk);
      return [];
    default:
      walk.fault ||= `${name} is no mechanism of SPF`;
      return [];
  }
}

async function walkDomain(walk: Walk, domain: string): Promise<Results> {
  const none: Results = new Map();
  const name = canonicalService(domain);
  if (!count(walk) || name === null) return none;
  const answer = await walk.resolver.resolve(name, 'TXT');
  if (answer.kind === 'failure') walk.failure ??= answer.reason;
  if (answer.kind !== 'records') {
    if (answer.kind !== 'failure') walk.fault ||= `${name}, which it includes, has no SPF record`;
    return none;
  }
  const [text, more] = answer.records.map((strings) => strings.join('')).filter((each) => /^v=spf1(?: |$)/i.test(each));
  if (text === undefined) walk.fault ||= `${name}, which it includes, has no SPF record`;
  if (more !== undefined) walk.fault ||= `${name}, which it includes, has more than one SPF record`;
  return text === undefined ? none : walkRecord(walk, name, text);
}

type Hosts = { readonly target: string; readonly v4: string; readonly v6: string; readonly domain: string };

async function matchedByHosts(walk: Walk, name: 'a' | 'mx', hosts: Hosts): Promise<readonly string[]> {
  const target = hosts.target === '' ? hosts.domain : canonicalService(hosts.target);
  if (!count(walk) || target === null) return [];
  const names = name === 'a' ? [target] : await mailHosts(walk, target);
  const networks: string[] = [];
  for (const host of names) {
    for (const type of ['A', 'AAAA'] as const) {
      const answer = await walk.resolver.resolve(host, type);
      if (answer.kind === 'failure') walk.failure ??= answer.reason;
      if (answer.kind !== 'records') continue;
      networks.push(...answer.records.map((address) => `${address}/${type === 'A' ? hosts.v4 : hosts.v6}`));
    }
  }
  return within(walk, networks);
}

async function mailHosts(walk: Walk, domain: string): Promise<readonly string[]> {
  const answer = await walk.resolver.resolve(domain, 'MX');
  if (answer.kind === 'failure') walk.failure ??= answer.reason;
  return answer.kind === 'records' ? answer.records.slice(0, maxMxHosts).map(({ exchange }) => exchange) : [];
}

/** "host/24//64": the lengths are those of IPv4 and IPv6. */
function splitCidr(argument: string): Omit<Hosts, 'domain'> {
  const [, target = '', v4 = '32', v6 = '128'] = /^([^/]*)(?:\/(\d{1,2}))?(?:\/\/(\d{1,3}))?$/.exec(argument) ?? [];
  return { target, v4, v6 };
}

function within(walk: Walk, networks: readonly string[]): readonly string[] {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', length] = network.split('/');
    const family = isIP(address);
    if (family === 0) {
      walk.fault ||= `${network.slice(0, 60)} is no network`;
      continue;
    }
    const bits = family === 4 ? 32 : 128;
    list.addSubnet(address, Math.min(bits, Number(length ?? bits)), family === 4 ? 'ipv4' : 'ipv6');
  }
  return walk.addresses.filter((address) => list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4'));
}

/** Null: a macro (section 7), which only a message can fill in, or no name. */
function canonicalService(name: string): string | null {
  if (name.includes('%')) return null;
  const text = name.toLowerCase().replace(/\.$/, '');
  return /^[a-z0-9._-]{1,253}$/.test(text) || canonicalDomain(text) !== null ? text : null;
}

/** False: enough has been asked. */
function count(walk: Walk): boolean {
  walk.lookups += 1;
  return walk.lookups <= lookupsTaken;
}

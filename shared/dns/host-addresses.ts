import { isIPv6 } from 'node:net';
import { shuffled } from './shuffle.ts';
import type { DnsAnswer, DnsFailureReason, Resolver } from './answer.ts';

/** Addresses of one host that are tried. */
const maxAddresses = 16;

export type HostAddresses = {
  /** IPv6 and IPv4 in turn, so that one family that doesn't work holds up little (RFC 8305 section 4). */
  readonly addresses: readonly string[];
  /** All of the answers are signed. */
  readonly hasAuthenticAddresses: boolean;
  /** Where CNAMEs led. */
  readonly canonicalHost: string;
  /** The name exists, with whatever records. */
  readonly hasName: boolean;
  /** Why some addresses may be missing. */
  readonly failure: DnsFailureReason | null;
};

export type AddressOptions = {
  readonly resolver: Resolver;
  readonly random: () => number;
  readonly signal?: AbortSignal;
};

/** A and AAAA of a host. */
export async function resolveAddresses(
  name: string,
  { resolver, random, signal }: AddressOptions,
): Promise<HostAddresses> {
  const [v6, v4] = await Promise.all([resolver.resolve(name, 'AAAA', signal), resolver.resolve(name, 'A', signal)]);
  const answers: readonly DnsAnswer<string>[] = [v6, v4];
  const failed = answers.find((answer) => answer.kind === 'failure');
  return {
    addresses: inTurn(addressesOf(v6, random), addressesOf(v4, random)).slice(0, maxAddresses),
    hasAuthenticAddresses: answers.every((answer) => answer.kind !== 'failure' && answer.isAuthentic),
    canonicalHost:
      answers.map((answer) => (answer.kind === 'records' ? answer.canonicalName : '')).find(Boolean) ?? name,
    hasName: answers.some(({ kind }) => kind !== 'no-name'),
    failure: failed?.kind === 'failure' ? failed.reason : null,
  };
}

function addressesOf(answer: DnsAnswer<string>, random: () => number): readonly string[] {
  return answer.kind === 'records' ? shuffled(answer.records, random) : [];
}

function inTurn(first: readonly string[], second: readonly string[]): readonly string[] {
  const most = Math.max(first.length, second.length);
  return Array.from({ length: most }, (_, i) => [first[i], second[i]].filter((each) => each !== undefined)).flat();
}

/** "[192.0.2.1]" or "[ipv6:2001:db8::1]", as `parseAddress` gives them: the address; null: not a literal. */
export function addressOfLiteral(domain: string): string | null {
  if (!domain.startsWith('[') || !domain.endsWith(']')) return null;
  const content = domain.slice(1, -1);
  const address = content.toLowerCase().startsWith('ipv6:') ? content.slice(5) : content;
  return isIPv6(address) || /^[\d.]+$/.test(address) ? address : null;
}

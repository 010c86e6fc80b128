/**
 * Keeps strangers' DNS records and address literals from leading our connections inside: to this machine, the
 * cloud's metadata service, Pods or Services.
 */
import { BlockList, isIPv4, isIPv6 } from 'node:net';
import { addToBlockList, embeddedIPv4 } from './networks.ts';

export type AddressRefusal = 'this-host' | 'link-local' | 'metadata' | 'private' | 'not-unicast';

/** What every cloud keeps its metadata service on, beyond 169.254.0.0/16. */
const metadata = ['169.254.169.254/32', 'fd00:ec2::254/128', '100.100.100.200/32', '168.63.129.16/32'];
const thisHost = ['127.0.0.0/8', '0.0.0.0/8', '::1/128', '::/128'];
const linkLocal = ['169.254.0.0/16', 'fe80::/10'];
const notUnicast = ['224.0.0.0/4', '240.0.0.0/4', 'ff00::/8'];

/** RFC 1918, RFC 6598, RFC 4193 and the other ranges that are nobody's on the Internet; Pods and Services are here. */
const defaultPrivateNetworks: readonly string[] = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '192.0.0.0/24',
  '198.18.0.0/15',
  'fc00::/7',
  'fec0::/10',
];

/** Null: mail may go there. */
export interface AddressGuard {
  refusal(address: string): AddressRefusal | null;
}

/** `privateNetworks` in CIDR notation; throws on anything else. */
export function createAddressGuard(privateNetworks: readonly string[] = defaultPrivateNetworks): AddressGuard {
  const lists: readonly (readonly [AddressRefusal, BlockList])[] = [
    ['metadata', blockList(metadata)],
    ['this-host', blockList(thisHost)],
    ['link-local', blockList(linkLocal)],
    ['not-unicast', blockList(notUnicast)],
    ['private', blockList(privateNetworks)],
  ];
  const refusal = (address: string): AddressRefusal | null => {
    const embedded = embeddedIPv4(address);
    if (embedded !== null) return refusal(embedded);
    // Not an address at all: nothing to be tried.
    if (!isIPv4(address) && !isIPv6(address)) return 'not-unicast';
    const family = isIPv6(address) ? 'ipv6' : 'ipv4';
    return lists.find(([, list]) => list.check(address, family))?.[0] ?? null;
  };
  return { refusal };
}

/** For the log and for bounces. */
export function describeRefusal(refusal: AddressRefusal): string {
  switch (refusal) {
    case 'this-host':
      return 'an address of this machine';
    case 'link-local':
      return 'a link-local address';
    case 'metadata':
      return 'an address of a cloud metadata service';
    case 'private':
      return 'a private address';
    case 'not-unicast':
      return 'not the address of one host';
    default:
      return refusal satisfies never;
  }
}

function blockList(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) addToBlockList(list, network);
  return list;
}

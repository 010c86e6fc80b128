/** Networks in CIDR notation, as routes and settings have them. */
import { BlockList, isIP, isIPv4, isIPv6, SocketAddress } from 'node:net';

/** Throws on what is no network. */
export function addToBlockList(list: BlockList, network: string): void {
  const [address = '', bits = '', ...rest] = network.split('/');
  const family = isIPv6(address) ? 'ipv6' : 'ipv4';
  const most = family === 'ipv6' ? 128 : 32;
  const prefix = bits === '' ? most : Number(bits);
  if (isIP(address) === 0 || rest.length > 0 || !/^\d*$/.test(bits) || prefix > most) {
    throw new Error(`${JSON.stringify(network)} is not a network such as 10.0.0.0/8`);
  }
  list.addSubnet(address, prefix, family);
}

export function isNetwork(text: string): boolean {
  try {
    addToBlockList(new BlockList(), text);
    return true;
  } catch {
    return false;
  }
}

/** Whether an address is in one of the networks. */
export function networkMatcher(networks: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const network of networks) addToBlockList(list, network);
  return (address) => isIP(address) !== 0 && list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

/** The IPv4 address that an IPv6 one leads to: mapped, NAT64 (RFC 6052) or 6to4 (RFC 3056); null: it is none. */
export function embeddedIPv4(address: string): string | null {
  if (!isIPv6(address)) return null;
  const groups = expand(address);
  const at = (i: number): number => groups[i] ?? 0;
  const isZero = (from: number, to: number): boolean => groups.slice(from, to).every((group) => group === 0);
  const isMapped = isZero(0, 5) && at(5) === 0xffff;
  const isCompatible = isZero(0, 6) && (at(6) !== 0 || at(7) > 1);
  const isNat64 = at(0) === 0x64 && at(1) === 0xff9b && (isZero(2, 6) || at(2) === 1);
  if (isMapped || isCompatible || isNat64) return dotted(at(6), at(7));
  return at(0) === 0x2002 ? dotted(at(1), at(2)) : null;
}

function expand(address: string): readonly number[] {
  // The system's own parser writes every form, dotted ones too, in one.
  const text = new SocketAddress({ address, family: 'ipv6' }).address.replace(/%.*$/, '');
  const [head = '', tail] = replaceDotted(text).split('::');
  const front = head === '' ? [] : head.split(':');
  const back = tail === undefined || tail === '' ? [] : tail.split(':');
  const middle = tail === undefined ? [] : Array.from({ length: 8 - front.length - back.length }, () => '0');
  return [...front, ...middle, ...back].map((group) => Number.parseInt(group, 16));
}

function replaceDotted(text: string): string {
  const last = text.slice(text.lastIndexOf(':') + 1);
  if (!isIPv4(last)) return text;
  const [a = 0, b = 0, c = 0, d = 0] = last.split('.').map(Number);
  return `${text.slice(0, -last.length)}${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`;
}

function dotted(high: number, low: number): string {
  return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.');
}

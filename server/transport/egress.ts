import { isIPv6 } from 'node:net';
import type { Egress, SourceRests } from '#server/mail/outbound-routes.ts';
import type { PeerAddress } from './peer-socket.ts';

export type Sources = {
  /** Null: the system chooses. */
  readonly sourceFor: (peer: PeerAddress) => string | null;
  /** None of the addresses may be used there for now. */
  readonly areAllResting: boolean;
};

/** From which of our addresses a destination is tried: any, but for those that it turned away. */
export function chooseSources(
  { sourceAddresses }: Egress,
  destination: string,
  rests: SourceRests,
  random: () => number,
): Sources {
  const free = rests.rested(destination, sourceAddresses);
  const pick = (addresses: readonly string[]): string | null =>
    addresses[Math.floor(random() * addresses.length)] ?? null;
  const v4 = pick(free.filter((address) => !isIPv6(address)));
  const v6 = pick(free.filter((address) => isIPv6(address)));
  const sourceFor = (peer: PeerAddress): string | null => {
    if ('path' in peer) return null;
    return isIPv6(peer.address) ? v6 : v4;
  };
  return { sourceFor, areAllResting: sourceAddresses.length > 0 && free.length === 0 };
}

/** Where addresses of one family are named, the other family is not left to chance. */
export function isReachableFrom({ sourceAddresses }: Egress, peer: PeerAddress): boolean {
  if ('path' in peer || sourceAddresses.length === 0) return true;
  return sourceAddresses.some((address) => isIPv6(address) === isIPv6(peer.address));
}

/** Whether other systems take connections on port 25, judged by those that we try anyway: many networks block it. */
import type { PeerAddress } from './peer-socket.ts';

/** Different hosts that must have been silent, with none that answered, before the network is to blame. */
const enoughSilent = 3;
/** After one that answered, whole outages are needed to think otherwise. */
const manySilent = 100;

export class Port25 {
  readonly #isOutside: (address: string) => boolean;
  readonly #silent = new Set<string>();
  #isReached = false;

  /** Neighbours in networks of our own say nothing about the way out. */
  constructor(isOutside: (address: string) => boolean) {
    this.#isOutside = isOutside;
  }

  connected(peer: PeerAddress): void {
    if (this.#outside(peer) === null) return;
    this.#isReached = true;
    this.#silent.clear();
  }

  failed(peer: PeerAddress): void {
    const address = this.#outside(peer);
    if (address !== null && this.#silent.size < manySilent) this.#silent.add(address);
  }

  get verdict(): 'open' | 'blocked' | 'unknown' {
    if (this.#silent.size >= (this.#isReached ? manySilent : enoughSilent)) return 'blocked';
    return this.#isReached ? 'open' : 'unknown';
  }

  #outside(peer: PeerAddress): string | null {
    return 'address' in peer && peer.port === 25 && this.#isOutside(peer.address) ? peer.address : null;
  }
}

/**
 * Whether the addresses of clients are their own. Behind a load balancer or a Service that hides them, all seem to come
 * from one or two private addresses: limits per address then hit everybody, and logs tell nothing.
 */
import { networkMatcher } from '#shared/dns/networks.ts';

/** Connections that are looked at, and how many there must be for a verdict. */
const remembered = 500;
const enough = 30;
/** What hides addresses is few: the nodes, or the balancer's own. Single clients of a Pod network are more. */
const fewAddresses = 2;

const isPrivate = networkMatcher([
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '169.254.0.0/16',
  'fc00::/7',
  'fe80::/10',
]);
const isLoopback = networkMatcher(['127.0.0.0/8', '::1/128']);

export class ClientAddresses {
  readonly #last: string[] = [];
  #next = 0;

  /** A client connected; loopback counts for nothing. */
  saw(address: string): void {
    if (isLoopback(address)) return;
    this.#last[this.#next] = address;
    this.#next = (this.#next + 1) % remembered;
  }

  get verdict(): 'preserved' | 'masked' | 'unknown' {
    if (this.#last.length < enough) return 'unknown';
    const different = new Set(this.#last);
    return different.size <= fewAddresses && [...different].every(isPrivate) ? 'masked' : 'preserved';
  }
}

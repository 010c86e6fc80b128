/** A session with one host: its addresses in turn, TLS as its policy says, counted for TLS reports. */
import type { AttemptFacts } from '#server/mail/outbound-ports.ts';
import type { Egress, SourceRests, TlsReportStore } from '#server/mail/outbound-routes.ts';
import type { Breaker } from './breaker.ts';
import { connectFirst } from './connect-first.ts';
import type { Deadlines } from './deadlines.ts';
import { chooseSources, isReachableFrom } from './egress.ts';
import type { Endpoint } from './endpoints.ts';
import { ownFailure, sessionFailure, type Failure, type Where } from './failure.ts';
import { clearAfter, type HostTls } from './host-tls.ts';
import { PeerFault } from './peer-fault.ts';
import type { PeerAddress } from './peer-socket.ts';
import type { Port25 } from './port-25.ts';
import { SmtpSession } from './smtp-session.ts';

export type SessionParts = {
  readonly ownName: string;
  readonly deadlines: Deadlines;
  /** Addresses that did not answer, by address and port: they come last. */
  readonly addresses: Breaker;
  readonly port25: Port25;
  readonly rests: SourceRests;
  readonly reports: TlsReportStore;
  readonly random: () => number;
};

export type OpenedSession = {
  readonly session: SmtpSession;
  readonly host: string;
  readonly address: string;
  readonly sourceAddress: string | null;
};

/** `destination`: who is spoken of when addresses of ours are blocked; the domain or the route's host. */
export async function openSession(
  parts: SessionParts,
  endpoint: Endpoint,
  destination: string,
  signal: AbortSignal,
): Promise<OpenedSession | Failure> {
  const { egress } = endpoint.target;
  const sources = chooseSources(egress, destination, parts.rests, parts.random);
  if (sources.areAllResting) {
    return ownFailure(
      '4.4.1',
      `${destination} has turned away every address of ours for now`,
      'block',
      nowhereOf(endpoint),
    );
  }
  const peers = inOrder(parts, endpoint.peers, egress);
  if (peers.length === 0) {
    return ownFailure(
      '4.4.1',
      `${endpoint.host} has no address of the family that the route sends from`,
      'connection',
      nowhereOf(endpoint),
    );
  }
  const run = new Opening(parts, endpoint, sources.sourceFor, signal);
  return run.open(peers, endpoint.tls);
}

function inOrder(parts: SessionParts, peers: readonly PeerAddress[], egress: Egress): readonly PeerAddress[] {
  const reachable = peers.filter((peer) => isReachableFrom(egress, peer));
  const rank = (peer: PeerAddress): number => Number(parts.addresses.isOpen(peerName(peer)));
  return reachable.toSorted((a, b) => rank(a) - rank(b));
}

class Opening {
  readonly #parts: SessionParts;
  readonly #endpoint: Endpoint;
  readonly #sourceFor: (peer: PeerAddress) => string | null;
  readonly #signal: AbortSignal;

  constructor(
    parts: SessionParts,
    endpoint: Endpoint,
    sourceFor: (peer: PeerAddress) => string | null,
    signal: AbortSignal,
  ) {
    this.#parts = parts;
    this.#endpoint = endpoint;
    this.#sourceFor = sourceFor;
    this.#signal = signal;
  }

  async open(peers: readonly PeerAddress[], tls: HostTls, clearBecause?: string): Promise<OpenedSession | Failure> {
    const { deadlines, addresses, port25 } = this.#parts;
    const { host, protocol, target } = this.#endpoint;
    const isDirect = target.egress.socks === null;
    let where: Where = nowhereOf(this.#endpoint);
    try {
      const { socket, peer, sourceAddress } = await connectFirst({
        peers,
        sourceFor: this.#sourceFor,
        socks: target.egress.socks,
        timeoutMs: deadlines.connectMs,
        nextAfterMs: deadlines.nextAddressMs,
        signal: this.#signal,
        failed: (failed) => {
          addresses.failed(peerName(failed));
          if (isDirect) port25.failed(failed);
        },
      });
      where = { host, address: peerName(peer), sourceAddress: sourceAddress ?? socket.localAddress };
      addresses.succeeded(peerName(peer));
      if (isDirect) port25.connected(peer);
      const credentials = target.kind === 'smarthost' ? target.credentials : null;
      const { ownName } = this.#parts;
      const stop = (): void => socket.destroy();
      this.#signal.addEventListener('abort', stop, { once: true });
      try {
        const session = await SmtpSession.open({ socket, protocol, ownName, tls, credentials, deadlines });
        this.#report(resultOf(session.tls, clearBecause), where);
        return { session, host, address: peerName(peer), sourceAddress: where.sourceAddress };
      } catch (error) {
        // RFC 7435: where TLS is only welcome, a broken one is no worse than none.
        if (!(error instanceof PeerFault) || error.tlsResult === null || tls.start !== 'offered') throw error;
        return await this.open([peer], clearAfter(tls), error.tlsResult);
      } finally {
        this.#signal.removeEventListener('abort', stop);
      }
    } catch (error) {
      const failure = sessionFailure(error, where, { ...noTlsOf(tls) });
      if (error instanceof PeerFault && error.tlsResult !== null) this.#report(error.tlsResult, where);
      return failure;
    }
  }

  #report(result: string, { address, sourceAddress }: Where): void {
    const { report, host } = this.#endpoint;
    if (!report) return;
    this.#parts.reports.record({
      ...report.policy,
      result: result === 'success' ? (report.problem ?? result) : result,
      receivingMx: host,
      receivingAddress: address,
      sendingAddress: sourceAddress,
    });
  }
}

/** What a TLS report says of a session that came about. */
function resultOf(
  { version, policy, result }: NonNullable<AttemptFacts['tls']>,
  clearBecause: string | undefined,
): string {
  if (clearBecause !== undefined) return clearBecause;
  if (version === null) return 'starttls-not-supported';
  // Nobody asked the certificate to be anything (RFC 8460 section 4.2, no-policy-found).
  return policy === 'opportunistic' ? 'success' : result;
}

function noTlsOf({ policy }: HostTls): NonNullable<AttemptFacts['tls']> {
  return { version: null, cipher: null, policy, isVerified: false, result: 'none' };
}

function peerName(peer: PeerAddress): string {
  return 'path' in peer ? peer.path : peer.address;
}

function nowhereOf({ host }: Endpoint): Where {
  return { host, address: null, sourceAddress: null };
}

import { PeerFault } from './peer-fault.ts';
import { connectPeer } from './peer-socket.ts';
import type { ConnectOptions, PeerAddress, PeerSocket } from './peer-socket.ts';

export type FirstOptions = Omit<ConnectOptions, 'peer' | 'sourceAddress'> & {
  /** One at least, in the order in which they are tried. */
  readonly peers: readonly PeerAddress[];
  readonly sourceFor: (peer: PeerAddress) => string | null;
  /** How long one may be silent until the next is tried beside it, in ms. */
  readonly nextAfterMs: number;
  readonly failed: (peer: PeerAddress) => void;
};

export type Connected = {
  readonly socket: PeerSocket;
  readonly peer: PeerAddress;
  readonly sourceAddress: string | null;
};

/**
 * The first of a host's addresses that takes the connection, as RFC 8305 has it. Rejects with the last one's
 * PeerFault when all have failed; connections that come too late are closed.
 */
export async function connectFirst(options: FirstOptions): Promise<Connected> {
  const { peers, sourceFor, nextAfterMs, failed, signal, ...rest } = options;
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  const { promise, resolve, reject } = Promise.withResolvers<Connected>();
  let left = peers.length;
  let isDone = false;
  let startNext = (): void => undefined;
  const one = async (peer: PeerAddress): Promise<void> => {
    const sourceAddress = sourceFor(peer);
    try {
      const socket = await connectPeer({ ...rest, peer, sourceAddress, signal: either });
      if (isDone) return socket.destroy();
      isDone = true;
      resolve({ socket, peer, sourceAddress });
    } catch (error) {
      if (isDone) return;
      failed(peer);
      left -= 1;
      if (left === 0) reject(error instanceof PeerFault ? error : new PeerFault('connect', 'failed', { cause: error }));
      else startNext();
    }
  };
  const running: Promise<void>[] = [];
  for (const peer of peers) {
    running.push(one(peer));
    const waited = Promise.withResolvers<null>();
    startNext = () => waited.resolve(null);
    const timer = setTimeout(startNext, nextAfterMs);
    // Whatever comes first: a connection, a failure, or the time for the next one.
    await Promise.race([promise, waited.promise]).catch(() => null);
    clearTimeout(timer);
    if (isDone || left === 0) break;
  }
  try {
    return await promise;
  } finally {
    stop.abort();
    await Promise.allSettled(running);
  }
}

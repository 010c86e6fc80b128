/**
 * A connection that we opened, read by pulling. Every wait has a deadline, and no error of a socket or of TLS becomes
 * an uncaught one. It knows no protocol.
 */
import { connect as connectTcp, isIPv6, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { PeerFault, systemCode } from './peer-fault.ts';
import { openThroughSocks } from './socks.ts';
import type { SocksProxy } from '#server/mail/outbound-routes.ts';

/** A host's address with a port, or a socket of this machine. */
export type PeerAddress = { readonly address: string; readonly port: number } | { readonly path: string };

export type ConnectOptions = {
  readonly peer: PeerAddress;
  /** The address we connect from; null: the system chooses. */
  readonly sourceAddress: string | null;
  readonly socks: SocksProxy | null;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
};

export class PeerSocket {
  #socket: Socket;
  /** Why it is of no use any more. */
  #fault: PeerFault | null = null;
  #isEnded = false;
  #isSecure = false;
  #wake: (() => void) | null = null;
  #unlisten: () => void = () => undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen(socket);
  }

  get isUsable(): boolean {
    return this.#fault === null && !this.#isEnded && !this.#socket.destroyed;
  }

  get localAddress(): string | null {
    return this.#socket.localAddress ?? null;
  }

  /** What has come already and was not read. */
  get hasUnread(): boolean {
    return this.#socket.readableLength > 0;
  }

  /** Bytes as they came; rejects with PeerFault when the peer ended, or said nothing in time. */
  async read(timeoutMs: number): Promise<Buffer> {
    const until = performance.now() + timeoutMs;
    for (;;) {
      const chunk = this.#socket.read() as Buffer | null;
      if (chunk !== null) return chunk;
      if (this.#fault) throw this.#fault;
      if (this.#isEnded) throw new PeerFault('closed', 'the peer closed the connection');
      await this.#wait(until - performance.now(), 'the peer did not answer in time');
    }
  }

  /** Sends; resolves when the peer keeps up. */
  async write(chunk: string | Buffer, timeoutMs: number): Promise<void> {
    if (this.#fault) throw this.#fault;
    if (this.#socket.write(chunk)) return;
    const until = performance.now() + timeoutMs;
    while (this.#socket.writableNeedDrain) {
      if (this.#fault) throw this.#fault;
      await this.#wait(until - performance.now(), 'the peer did not read in time');
    }
  }

  /** Resolves with the TLS socket, its certificate not judged. Rejects with PeerFault `tls`, and is closed then. */
  async startTls(options: ConnectionOptions, timeoutMs: number): Promise<TLSSocket> {
    if (this.#fault) throw this.#fault;
    const plain = this.#socket;
    this.#unlisten();
    // The TLS socket tells of its end; an error that nobody hears would end the process.
    plain.on('error', () => undefined);
    const secure = connectTls({ ...options, socket: plain, rejectUnauthorized: false });
    this.#socket = secure;
    this.#listen(secure, 'tls');
    secure.once('secureConnect', () => {
      this.#isSecure = true;
      this.#wake?.();
    });
    const until = performance.now() + timeoutMs;
    while (!this.#isSecure) {
      if (this.#fault) throw this.#fault;
      if (this.#isEnded) throw this.#fail(new PeerFault('tls', 'the peer closed the connection during the handshake'));
      try {
        await this.#wait(until - performance.now(), 'the TLS handshake took too long');
      } catch (cause) {
        // It is closed, for want of time; what failed is TLS.
        throw new PeerFault('tls', (cause as PeerFault).message, { cause });
      }
    }
    return secure;
  }

  /** Closes at once; what the peer has not taken is lost. */
  destroy(): void {
    this.#fail(new PeerFault('closed', 'closed'));
  }

  #fail(fault: PeerFault): PeerFault {
    this.#fault ??= fault;
    this.#socket.destroy();
    this.#wake?.();
    return this.#fault;
  }

  #listen(socket: Socket, phase: 'tls' | 'plain' = 'plain'): void {
    const wake = (): void => this.#wake?.();
    const end = (): void => {
      this.#isEnded = true;
      this.#wake?.();
    };
    const error = (cause: Error): void => {
      const isHandshake = phase === 'tls' && !this.#isSecure;
      const what = isHandshake ? 'the TLS handshake failed' : 'the connection was lost';
      this.#fail(new PeerFault(isHandshake ? 'tls' : 'closed', `${what} (${systemCode(cause)})`, { cause }));
    };
    const close = (): void => void this.#fail(new PeerFault('closed', 'the connection was lost'));
    socket.on('readable', wake).on('drain', wake).on('end', end).on('error', error).on('close', close);
    this.#unlisten = () => {
      socket.off('readable', wake).off('drain', wake).off('end', end).off('error', error).off('close', close);
    };
  }

  async #wait(timeoutMs: number, late: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<'woken' | 'late'>();
    const timer = setTimeout(() => resolve('late'), timeoutMs);
    this.#wake = () => resolve('woken');
    const why = await promise;
    clearTimeout(timer);
    this.#wake = null;
    if (why === 'late') throw this.#fail(new PeerFault('timeout', late));
  }
}

/** Rejects with PeerFault `connect`. */
export async function connectPeer(options: ConnectOptions): Promise<PeerSocket> {
  const { peer, socks, timeoutMs, signal } = options;
  if (signal.aborted) throw new PeerFault('connect', 'stopped');
  const to = socks ? { address: socks.address, port: socks.port } : peer;
  const socket = await openSocket({ ...options, peer: to });
  if (!socks || 'path' in peer) return new PeerSocket(socket);
  const proxied = new PeerSocket(socket);
  await openThroughSocks(proxied, { proxy: socks, address: peer.address, port: peer.port, timeoutMs });
  return proxied;
}

function openSocket({ peer, sourceAddress, timeoutMs, signal }: ConnectOptions): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const isFitting = sourceAddress !== null && 'address' in peer && isIPv6(peer.address) === isIPv6(sourceAddress);
    const local = isFitting ? { localAddress: sourceAddress } : {};
    const socket =
      'path' in peer
        ? connectTcp({ path: peer.path })
        : connectTcp({ host: peer.address, port: peer.port, noDelay: true, keepAlive: true, ...local });
    const done = (fault: PeerFault | null): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', abort);
      socket.removeAllListeners();
      if (fault === null) return resolve(socket);
      socket.on('error', () => undefined);
      socket.destroy();
      reject(fault);
    };
    const abort = (): void => done(new PeerFault('connect', 'stopped'));
    const timer = setTimeout(() => done(new PeerFault('connect', 'no connection in time')), timeoutMs);
    signal.addEventListener('abort', abort, { once: true });
    socket.once('connect', () => done(null));
    socket.once('error', (cause) => done(new PeerFault('connect', connectFailure(cause), { cause })));
  });
}

function connectFailure(cause: unknown): string {
  const code = systemCode(cause);
  if (code === 'ECONNREFUSED') return 'connection refused';
  if (code === 'EADDRNOTAVAIL' || code === 'EINVAL') return 'the source address is not one of this machine';
  return `no connection (${code})`;
}

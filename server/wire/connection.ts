/**
 * One client's TCP connection, read by pulling. Above this file nothing knows Node's sockets and events.
 * It must not know a protocol. Invariants: output written between two reads leaves in as few packets as
 * possible; every wait has an end; no error of a socket or of TLS ever becomes an uncaught one.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { plainAddress } from '#shared/base/ip-network.ts';
import { channelBinding } from './channel-binding.ts';
import type { TlsContext } from './tls-context.ts';

/** The peer went away, or had to be dropped: nothing more can be read or written. Not a bug of ours. */
export class ConnectionLost extends Error {
  override readonly name = 'ConnectionLost';
}

/** Bytes, or why there are none: the peer ended, nothing came in time, or `interrupt` was called. */
export type ReadOutcome = Buffer | 'end' | 'timeout' | 'interrupted';

export type ConnectionOptions = {
  /** How long the peer may take to read what we wrote, in ms; then it is dropped. */
  readonly writeTimeoutMs: number;
  /** How long a TLS handshake may take, in ms. */
  readonly handshakeTimeoutMs: number;
};

export const defaultConnectionOptions: ConnectionOptions = { writeTimeoutMs: 120_000, handshakeTimeoutMs: 30_000 };

/** What is sent at a time, in bytes: so much the peer has to read within the write timeout, be its link ever so slow. */
const pieceBytes = 64 * 1024;

/** Output held back before it is sent without waiting for the next read, in bytes. */
const burstBytes = 32 * 1024;

/** How long `close` waits for the peer to take the last bytes, in ms. */
const lingerMs = 2_000;

export class Connection implements AsyncDisposable {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
  #socket: Socket;
  readonly #options: ConnectionOptions;
  #pending: (string | Buffer)[] = [];
  #pendingBytes = 0;
  #isEnded = false;
  #isClosed = false;
  #isSecure = false;
  #bytesRead = 0;
  #bytesWritten = 0;
  /** Ends the wait of a running `read`. */
  #wakeReader: ((why: 'bytes' | 'timeout' | 'interrupted') => void) | null = null;
  /** `interrupt` was called while nobody waited: the next wait ends at once. */
  #isInterrupted = false;
  /** Ends the wait of a running `flush` or handshake. */
  #wakeWriter: (() => void) | null = null;
  #abort: AbortController | null = null;

  constructor(socket: Socket, options: ConnectionOptions = defaultConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.remoteAddress = plainAddress(socket.remoteAddress ?? '');
    this.remotePort = socket.remotePort ?? 0;
    this.localPort = socket.localPort ?? 0;
    this.#listen(socket);
  }

  get isSecure(): boolean {
    return this.#isSecure;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** TLS version and cipher for the log; null without TLS. */
  get tlsDescription(): string | null {
    if (!(this.#socket instanceof TLSSocket)) return null;
    return `${this.#socket.getProtocol() ?? 'unknown'} ${this.#socket.getCipher().name}`;
  }

  /** See `channelBinding`. */
  channelBinding(name: string): Buffer | null {
    return this.#isSecure ? channelBinding(this.#socket, name) : null;
  }

  /** Bytes of the protocol, without TLS. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  get bytesWritten(): number {
    return this.#bytesWritten;
  }

  /** Aborts when the connection is closed, by either side. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortController();
    if (this.#isClosed) this.#abort.abort();
    return this.#abort.signal;
  }

  /**
   * What the peer sent, at most 64 KiB at a time; sends what was held back first if it has to wait.
   * At most one read at a time.
   */
  async read(timeoutMs: number): Promise<ReadOutcome> {
    for (;;) {
      const chunk = this.#socket.read() as Buffer | null;
      if (chunk !== null) {
        this.#bytesRead += chunk.length;
        return chunk;
      }
      if (this.#isEnded || this.#isClosed) return 'end';
      if (this.#pendingBytes > 0) {
        await this.flush();
        continue;
      }
      if (this.#isInterrupted) {
        this.#isInterrupted = false;
        return 'interrupted';
      }
      const why = await this.#readable(timeoutMs);
      if (why !== 'bytes') return why;
    }
  }

  /** Makes a `read` that waits give 'interrupted', or else the next one that would have to wait: none is lost. */
  interrupt(): void {
    if (this.#wakeReader) this.#wakeReader('interrupted');
    else this.#isInterrupted = true;
  }

  /**
   * Sends bytes; a string is a binary one (a code unit below 256 is a byte). Small writes are held back
   * until the next read that waits, `flush` or 32 KiB. Resolves when the peer keeps up; rejects with ConnectionLost.
   */
  async write(chunk: string | Buffer): Promise<void> {
    if (chunk.length <= pieceBytes) return this.#hold(chunk);
    for (let at = 0; at < chunk.length; at += pieceBytes) {
      const end = at + pieceBytes;
      await this.#hold(Buffer.isBuffer(chunk) ? chunk.subarray(at, end) : chunk.slice(at, end));
    }
  }

  /** Sends what is held back and waits while the peer is behind. */
  async flush(): Promise<void> {
    if (this.#pendingBytes === 0) return;
    if (this.#sendPending()) return;
    await this.#drained(this.#options.writeTimeoutMs, 'the peer does not read');
  }

  /**
   * Sends `reply` in clear and turns to TLS (null: nothing is sent, TLS from the first byte). What the peer
   * sent before the handshake is thrown away, so that nothing injected in clear is taken for part of the
   * protected session. Rejects with ConnectionLost when the handshake fails.
   */
  async startTls(tls: TlsContext, reply: string | null): Promise<void> {
    if (this.#isClosed) throw new ConnectionLost('connection closed');
    const plain = this.#socket;
    plain.removeAllListeners('readable');
    plain.removeAllListeners('drain');
    if (reply !== null) {
      // The reply and the change happen in one turn of the event loop: a quick peer's handshake
      // can't reach the plain reader.
      while (plain.read() !== null);
      this.#pending.push(reply);
      this.#pendingBytes += reply.length;
      this.#sendPending();
    }
    if (this.#isEnded) {
      this.destroy();
      throw new ConnectionLost('TLS handshake failed');
    }
    const secure = new TLSSocket(plain, {
      isServer: true,
      secureContext: tls.current,
      SNICallback: (name, done) => done(null, tls.forName(name)),
      enableTrace: false,
    });
    this.#socket = secure;
    this.#listen(secure);
    // Half-open is for sessions: who ends its side before the handshake is done has left, and would hold its place.
    const left = (): void => void secure.destroy();
    secure.once('end', left);
    secure.once('secure', () => {
      secure.off('end', left);
      this.#isSecure = true;
      this.#wakeWriter?.();
    });
    await this.#drained(this.#options.handshakeTimeoutMs, 'TLS handshake failed');
  }

  /** Sends what is held back, ends our side and gives the peer a moment to take it. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    try {
      await this.flush();
    } catch {
      // The peer is gone: there is nobody left to send to.
    }
    if (this.#isClosed) return;
    this.#socket.removeAllListeners('readable');
    this.#socket.end();
    // Unread input would turn our end into a reset that can overtake the last reply.
    this.#socket.resume();
    try {
      await this.#drained(lingerMs, 'lingering');
    } catch {
      // Closed now, in one way or the other.
    }
    this.destroy();
  }

  /** Drops the connection at once. */
  destroy(): void {
    this.#socket.destroy();
    this.#closed();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #hold(piece: string | Buffer): Promise<void> {
    if (this.#isClosed) throw new ConnectionLost('connection closed');
    this.#pending.push(piece);
    this.#pendingBytes += piece.length;
    if (this.#pendingBytes >= burstBytes) await this.flush();
  }

  #listen(socket: Socket): void {
    socket.on('readable', () => this.#wakeReader?.('bytes'));
    socket.on('end', () => {
      this.#isEnded = true;
      this.#wakeReader?.('bytes');
    });
    socket.on('drain', () => this.#wakeWriter?.());
    // A reset, a timeout or bad TLS: 'close' follows, and that is all the owner needs to know.
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#closed());
  }

  #closed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#abort?.abort();
    this.#wakeReader?.('bytes');
    this.#wakeWriter?.();
  }

  #readable(timeoutMs: number): Promise<'bytes' | 'timeout' | 'interrupted'> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#wakeReader?.('timeout'), timeoutMs);
      this.#wakeReader = (why) => {
        clearTimeout(timer);
        this.#wakeReader = null;
        resolve(why);
      };
    });
  }

  /** True: the peer keeps up. */
  #sendPending(): boolean {
    if (this.#isClosed) throw new ConnectionLost('connection closed');
    const pieces = this.#pending;
    this.#pending = [];
    this.#bytesWritten += this.#pendingBytes;
    this.#pendingBytes = 0;
    if (pieces.every((piece) => typeof piece === 'string')) return this.#socket.write(pieces.join(''), 'latin1');
    // Neighbouring strings become one buffer; large buffers are passed on, not copied.
    this.#socket.cork();
    let isKeepingUp = true;
    let text = '';
    for (const piece of pieces) {
      if (typeof piece === 'string') {
        text += piece;
        continue;
      }
      if (text !== '') isKeepingUp = this.#socket.write(text, 'latin1');
      text = '';
      isKeepingUp = this.#socket.write(piece);
    }
    if (text !== '') isKeepingUp = this.#socket.write(text, 'latin1');
    this.#socket.uncork();
    return isKeepingUp;
  }

  /** Waits for 'drain', the end of the handshake or the close; rejects when the connection is or gets closed. */
  async #drained(timeoutMs: number, failure: string): Promise<void> {
    if (this.#isClosed) throw new ConnectionLost(failure);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => this.destroy(), timeoutMs);
      this.#wakeWriter = () => {
        clearTimeout(timer);
        this.#wakeWriter = null;
        resolve();
      };
    });
    if (this.#isClosed) throw new ConnectionLost(failure);
  }
}

/**
 * One client's TCP connection, read by pulling. Above this file nothing knows Node's sockets and events.
 * It must not know a protocol. Invariants: output written between two reads leaves in as few packets as
 * possible; every wait has an end; no error of a socket or of TLS ever becomes an uncaught one.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { plainAddress } from '#shared/base/ip-network.ts';
import { channelBinding } from './channel-binding.ts';
import { giveOutputBuffer, outputBytes, takeOutputBuffer } from './output-buffers.ts';
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

/** Output that is held back as a string, in bytes: what answers to a command mostly come to. */
const textBytes = 8 * 1024;

const nothingToWaitFor = Promise.resolve();

/** How long `close` waits for the peer to take the last bytes, in ms. */
const lingerMs = 2_000;

export class Connection implements AsyncDisposable {
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localPort: number;
  #socket: Socket;
  readonly #options: ConnectionOptions;
  /** Output held back, until it is more than a little. */
  #text = '';
  /** The same from then on, of which the first `#gatheredBytes` bytes are there; `#text` is then empty. */
  #gathered: Buffer | null = null;
  #gatheredBytes = 0;
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
      if (this.#heldBytes > 0) {
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
   * Sends bytes; a string is a binary one (a code unit below 256 is a byte). They are held back until the next read that
   * waits, `flush` or 128 KiB: so much the peer has to read within the write timeout, be its link ever so slow. Resolves
   * when the peer keeps up, and the chunk may be written over; rejects with ConnectionLost.
   */
  write(chunk: string | Buffer): Promise<void> {
    if (this.#isClosed) return Promise.reject(new ConnectionLost('connection closed'));
    const taken = this.#hold(chunk, 0);
    return taken === chunk.length ? nothingToWaitFor : this.#writeRest(chunk, taken);
  }

  /** Sends what is held back and waits while the peer is behind. */
  async flush(): Promise<void> {
    if (this.#heldBytes === 0) return;
    // Whatever the socket says of its bound, when it holds nothing the peer keeps up.
    if (this.#sendHeld() || this.#socket.writableLength === 0) return;
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
      this.#hold(reply, 0);
      this.#sendHeld();
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
    this.#socket.removeAllListeners('drain');
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

  get #heldBytes(): number {
    return this.#text.length + this.#gatheredBytes;
  }

  async #writeRest(chunk: string | Buffer, from: number): Promise<void> {
    for (let at = from; at < chunk.length; at += this.#hold(chunk, at)) await this.flush();
  }

  /** Takes the chunk from `at` on, as far as there is room; gives how many bytes that were. */
  #hold(chunk: string | Buffer, at: number): number {
    if (this.#isClosed) throw new ConnectionLost('connection closed');
    if (
      at === 0 &&
      typeof chunk === 'string' &&
      this.#gathered === null &&
      this.#text.length + chunk.length <= textBytes
    ) {
      this.#text += chunk;
      return chunk.length;
    }
    const gathered = (this.#gathered ??= takeOutputBuffer());
    if (this.#text !== '') this.#gatheredBytes = gathered.write(this.#text, 0, 'latin1');
    this.#text = '';
    const taken = Math.min(chunk.length - at, outputBytes - this.#gatheredBytes);
    if (Buffer.isBuffer(chunk)) chunk.copy(gathered, this.#gatheredBytes, at, at + taken);
    else gathered.write(at === 0 ? chunk : chunk.slice(at), this.#gatheredBytes, taken, 'latin1');
    this.#gatheredBytes += taken;
    return taken;
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
    this.#text = '';
    // Of no socket's yet.
    if (this.#gathered !== null) giveOutputBuffer(this.#gathered);
    this.#gathered = null;
    this.#gatheredBytes = 0;
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
  #sendHeld(): boolean {
    if (this.#isClosed) throw new ConnectionLost('connection closed');
    this.#bytesWritten += this.#heldBytes;
    const [text, gathered, bytes] = [this.#text, this.#gathered, this.#gatheredBytes];
    this.#text = '';
    this.#gathered = null;
    this.#gatheredBytes = 0;
    if (gathered === null) return this.#socket.write(text, 'latin1');
    // One that failed may still be read for a moment by who encrypts or sends it.
    return this.#socket.write(gathered.subarray(0, bytes), (error) => error ?? giveOutputBuffer(gathered));
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

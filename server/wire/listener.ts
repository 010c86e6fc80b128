import { createServer, type Server, type Socket } from 'node:net';
import { networkOf } from '#shared/base/ip-network.ts';
import { listenFault } from '#shared/process/listen-fault.ts';
import { receiveClients, type ClientFront } from './client-front.ts';
import { Connection, ConnectionLost, defaultConnectionOptions, type ConnectionOptions } from './connection.ts';
import type { TlsContext } from './tls-context.ts';

/** Connections over the limit that are told why at one time; more than that are dropped without a word. */
const maxPoliteRefusals = 50;

export type RefusedConnection = 'too-many' | 'too-many-from-address' | 'tls-handshake';

export type ListenerOptions = {
  /** For messages to the person who runs the program: `IMAP`. */
  readonly name: string;
  readonly host: string;
  /** 0: any free port, see `Listener.port`. */
  readonly port: number;
  readonly maxConnections: number;
  /** For one IPv4 address or one IPv6 /64 network. */
  readonly maxConnectionsPerAddress: number;
  /** TLS from the first byte; null: in clear, the protocol may turn to TLS later. */
  readonly tls: TlsContext | null;
  /** What a client in clear is told when there are too many, with its CRLF. */
  readonly tooManyReply: string;
  readonly connection?: ConnectionOptions;
  readonly front?: ClientFront | null;
  /** Serves a connection to its end; it is closed when the promise settles. */
  readonly serve: (connection: Connection) => Promise<void>;
  readonly onRefused?: (why: RefusedConnection, remoteAddress: string) => void;
  /** A fault of ours that cost one connection; without it the fault goes unnoticed. */
  readonly onFailure?: (error: unknown) => void;
};

/** How long a silent connection may be before the system asks whether its peer still lives, in ms. */
const keepAliveMs = 5 * 60_000;

/** A port that takes connections, with a bound on how many. */
export class Listener {
  readonly #server: Server;
  readonly #options: ListenerOptions;
  readonly #serving = new Map<Connection, Promise<void>>();
  readonly #perNetwork = new Map<string, number>();
  #turningAway = 0;

  private constructor(server: Server, options: ListenerOptions) {
    this.#server = server;
    this.#options = options;
    server.on('connection', (socket) => this.#accept(socket));
    if (options.front) receiveClients(server, options.front);
  }

  /** Rejects with a ProgramFault when the port can't be had. */
  static async open(options: ListenerOptions): Promise<Listener> {
    // Half-open: a client that sends its commands and then ends its side still gets the answers.
    const server = createServer({
      allowHalfOpen: true,
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveMs,
    });
    const listener = new Listener(server, options);
    await new Promise<void>((resolve, reject) => {
      server.once('error', (error) => reject(listenFault(error, options)));
      server.listen({ host: options.host, port: options.port }, resolve);
    });
    // After the start an error of accept (EMFILE) concerns one connection, not the listener.
    server.removeAllListeners('error');
    server.on('error', () => options.onRefused?.('too-many', ''));
    return listener;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  get connections(): number {
    return this.#serving.size;
  }

  /** Takes no new connections; those there are go on. */
  stopAccepting(): void {
    this.#server.close();
  }

  /** Waits until all connections are served, at most `graceMs`; what is left then is dropped. */
  async drain(graceMs: number): Promise<void> {
    this.stopAccepting();
    const timer = setTimeout(() => {
      for (const connection of this.#serving.keys()) connection.destroy();
    }, graceMs);
    while (this.#serving.size > 0) await Promise.all(this.#serving.values());
    clearTimeout(timer);
  }

  #accept(socket: Socket): void {
    const connection = new Connection(socket, this.#options.connection ?? defaultConnectionOptions);
    const network = networkOf(connection.remoteAddress);
    const sameNetwork = this.#perNetwork.get(network) ?? 0;
    const refusal = this.#refusal(sameNetwork);
    if (refusal !== null) {
      this.#options.onRefused?.(refusal, connection.remoteAddress);
      void this.#turnAway(connection);
      return;
    }
    this.#perNetwork.set(network, sameNetwork + 1);
    const served = this.#serve(connection).finally(() => {
      const left = (this.#perNetwork.get(network) ?? 1) - 1;
      if (left === 0) this.#perNetwork.delete(network);
      else this.#perNetwork.set(network, left);
      this.#serving.delete(connection);
    });
    this.#serving.set(connection, served);
  }

  #refusal(sameNetwork: number): RefusedConnection | null {
    if (this.#serving.size >= this.#options.maxConnections) return 'too-many';
    return sameNetwork >= this.#options.maxConnectionsPerAddress ? 'too-many-from-address' : null;
  }

  async #turnAway(connection: Connection): Promise<void> {
    if (this.#options.tls !== null || this.#turningAway >= maxPoliteRefusals) return connection.destroy();
    this.#turningAway += 1;
    try {
      await connection.write(this.#options.tooManyReply);
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
    } finally {
      await connection.close();
      this.#turningAway -= 1;
    }
  }

  /** False: there is TLS from the first byte, and its handshake failed. */
  async #secure(connection: Connection): Promise<boolean> {
    const { tls, onRefused } = this.#options;
    if (tls === null) return true;
    try {
      await connection.startTls(tls, null);
      return true;
    } catch (error) {
      if (!(error instanceof ConnectionLost)) throw error;
      onRefused?.('tls-handshake', connection.remoteAddress);
      return false;
    }
  }

  async #serve(connection: Connection): Promise<void> {
    try {
      if (await this.#secure(connection)) await this.#options.serve(connection);
    } catch (error) {
      this.#options.onFailure?.(error);
    } finally {
      await connection.close();
    }
  }
}

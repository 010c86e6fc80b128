/** smtp-server's server with our bounds on connections, our TLS context and a drain. */
import type { Socket } from 'node:net';
import type { SecureContext } from 'node:tls';
import { SMTPServer } from 'smtp-server';
import type { Clock } from '#shared/base/clock.ts';
import { networkOf } from '#shared/base/ip-network.ts';
import type { Logger } from '#shared/observe/logger.ts';
import type { Metrics } from '#shared/observe/metrics.ts';
import type { Authenticator } from '#server/accounts/authenticator.ts';
import type { RecipientDirectory } from '#server/mail/ports.ts';
import { extensionLines } from '#server/submission/mail-options.ts';
import type { Submission } from '#server/submission/submit.ts';
import { keepClient, receiveClients } from '#server/wire/client-front.ts';
import type { TlsContext } from '#server/wire/tls-context.ts';
import { replies, replyText } from './fault-to-reply.ts';
import { libraryOptions } from './library-options.ts';
import { destroyIfHandshakeEnds, SmtpConnection } from './smtp-connection.ts';
import type { SmtpOptions } from './smtp-options.ts';
import type { Authenticate, SmtpHost } from './smtp-host.ts';

/** How long a client that is turned away gets to read why, in ms. */
const refusalLingerMs = 1000;

export type SmtpServerServices = {
  readonly submission: Submission | null;
  readonly clock: Clock;
  readonly authenticator: Authenticator;
  readonly directory: Pick<RecipientDirectory, 'expectRecipients'>;
  readonly tls: TlsContext;
  readonly logger: Logger;
  readonly metrics: Metrics;
};

export class SmtpServer extends SMTPServer implements SmtpHost {
  readonly #options: SmtpOptions;
  readonly #services: SmtpServerServices;
  readonly authenticate: Authenticate;
  readonly #perNetwork = new Map<string, number>();
  #open = 0;
  #turningAway = 0;
  /** What gives a counted socket's place back. */
  readonly #releases = new WeakMap<Socket, () => void>();
  /** The library tells some errors twice. */
  readonly #noted = new WeakSet<Error>();

  constructor(options: SmtpOptions, services: SmtpServerServices, authenticate: Authenticate) {
    super(libraryOptions(options));
    this.authenticate = authenticate;
    this.#options = options;
    this.#services = services;
    this.secureContext = new CurrentContext(services.tls);
    if (options.front !== null) receiveClients(this.server, options.front);
    // Without a listener a failed handshake would end the process.
    this.on('error', (error) => this.#noteError(error));
  }

  /** Tells every client that it is over as soon as it has no command running, and takes no more connections. */
  drain(): void {
    this.server.close();
    for (const socket of this._pendingSockets.values()) socket.destroy();
    for (const connection of this.#connections()) connection.drain();
  }

  /** Drops what is left. */
  destroyAll(): void {
    for (const socket of this._pendingSockets.values()) socket.destroy();
    for (const connection of this.#connections()) connection.destroy();
  }

  /** What EHLO announces beside the library's own. */
  extensions(isSecure: boolean): readonly string[] {
    const { submission, clock } = this.#services;
    return submission !== null && this.#options.kind === 'submission' ? extensionLines(clock.now(), isSecure) : [];
  }

  get authenticator(): Authenticator {
    return this.#services.authenticator;
  }

  get directory(): SmtpServerServices['directory'] {
    return this.#services.directory;
  }

  get openConnections(): number {
    return this.#open;
  }

  override connect(socket: Socket, socketOptions?: ConstructorParameters<typeof SmtpConnection>[2]): void {
    const connection = new SmtpConnection(this, socket, socketOptions, this.#options);
    this.connections.add(connection);
    connection.on('error', (error: Error) => this._onError(error));
    // The library takes every listener off a socket before it turns to TLS, ours too.
    connection.on('upgrade', (plain: Socket) => this.#releaseWhenClosed(plain));
    connection.init();
  }

  /** The library's own contexts are never used; the constructor of the superclass calls this. */
  override updateSecureContext(): void {
    this.secureContext = new Map();
  }

  override _resolveSNI(name: string, done: (error: Error | null, context?: SecureContext) => void): void {
    done(null, this.#services.tls.forName(name));
  }

  override _acceptSocket(socket: Socket, handshake: boolean): (() => void) | false {
    const network = networkOf((socket.remoteAddress ?? '').replace(/^::ffff:/i, ''));
    const sameNetwork = this.#perNetwork.get(network) ?? 0;
    const reason = this.#refusalReason(sameNetwork);
    if (reason !== null) {
      this.#turnAway(socket, handshake, reason);
      return false;
    }
    this.#count(socket, network, sameNetwork);
    const release = super._acceptSocket(socket, handshake);
    if (release !== false && handshake) {
      setTimeout(() => {
        // Still there: the handshake isn't done. It is the TLS socket that must be destroyed.
        this._pendingSockets.get(socket)?.destroy();
      }, this.#options.handshakeTimeoutMs).unref();
    }
    return release;
  }

  override _upgrade(socket: Socket, callback: Parameters<SMTPServer['_upgrade']>[1]): void {
    super._upgrade(socket, (error, secure) => {
      if (secure) keepClient(socket, secure);
      callback(error, secure);
    });
    const secure = this._pendingSockets.get(socket);
    // Its end may have come before there was anybody to hear it.
    if (socket.readableEnded) secure?.destroy();
    else if (secure) destroyIfHandshakeEnds(secure);
  }

  #connections(): readonly SmtpConnection[] {
    return [...this.connections].filter((connection) => connection instanceof SmtpConnection);
  }

  #refusalReason(sameNetwork: number): 'listener-full' | 'address-full' | null {
    if (this.#open >= this.#options.maxConnections) return 'listener-full';
    return sameNetwork >= this.#options.maxConnectionsPerAddress ? 'address-full' : null;
  }

  #count(socket: Socket, network: string, sameNetwork: number): void {
    const listener = this.#options.name;
    const { metrics } = this.#services;
    this.#open += 1;
    this.#perNetwork.set(network, sameNetwork + 1);
    metrics.connectionsOpened.inc({ listener });
    metrics.connectionsOpen.inc({ listener });
    this.#releases.set(socket, () => {
      this.#open -= 1;
      metrics.connectionsOpen.dec({ listener });
      const left = (this.#perNetwork.get(network) ?? 1) - 1;
      if (left === 0) this.#perNetwork.delete(network);
      else this.#perNetwork.set(network, left);
    });
    this.#releaseWhenClosed(socket);
  }

  #releaseWhenClosed(socket: Socket): void {
    const release = this.#releases.get(socket);
    if (release) socket.once('close', release);
  }

  #turnAway(socket: Socket, handshake: boolean, reason: string): void {
    this.#services.metrics.connectionsRefused.inc({ listener: this.#options.name, reason });
    this.#services.logger.info({ event: 'conn.refused', remote: socket.remoteAddress, reason }, 'connection refused');
    socket.on('error', () => socket.destroy());
    // In a TLS handshake nothing can be said, and a flood isn't answered either.
    if (handshake || this.#turningAway >= 50) {
      socket.destroy();
      return;
    }
    this.#turningAway += 1;
    const timer = setTimeout(() => socket.destroy(), refusalLingerMs);
    socket.once('close', () => {
      clearTimeout(timer);
      this.#turningAway -= 1;
    });
    socket.end(`${replies.tooManyConnections.code} ${replyText(replies.tooManyConnections)}\r\n`);
    socket.resume();
  }

  #noteError(error: Error): void {
    if (this.#noted.has(error)) return;
    this.#noted.add(error);
    const { logger, metrics } = this.#services;
    const isHandshake = 'meta' in error;
    if (isHandshake) metrics.tlsHandshakeFailures.inc({ listener: this.#options.name });
    const remote = 'remoteAddress' in error ? error.remoteAddress : undefined;
    logger.debug(
      { event: isHandshake ? 'tls.fail' : 'conn.error', remote, reason: error.message },
      'connection failed',
    );
  }
}

/** What the library asks for the context of a handshake: always the one in force now. */
class CurrentContext extends Map<string, SecureContext> {
  readonly #tls: TlsContext;

  constructor(tls: TlsContext) {
    super();
    this.#tls = tls;
  }

  override get(): SecureContext {
    return this.#tls.current;
  }
}

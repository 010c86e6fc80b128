import type { ClientFront } from '#server/wire/client-front.ts';
import type { Connection } from '#server/wire/connection.ts';
import { Listener } from '#server/wire/listener.ts';
import type { ImapSession } from '../state/session.ts';
import type { ImapServices } from '../state/services.ts';
import { openSession, serveImap } from './serve-imap.ts';

export type ImapListenerOptions = {
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte (port 993); else STARTTLS is offered where there is a certificate. */
  readonly implicitTls: boolean;
  readonly maxConnections: number;
  readonly maxConnectionsPerAddress: number;
  readonly front?: ClientFront | null;
};

type Sessions = { readonly open: Set<ImapSession>; isStopping: boolean };

/** One port on which IMAP is served. */
export class ImapListener {
  readonly #listener: Listener;
  readonly #sessions: Sessions;

  private constructor(listener: Listener, sessions: Sessions) {
    this.#listener = listener;
    this.#sessions = sessions;
  }

  /** Rejects with a ProgramFault when the port can't be had. */
  static async open(services: ImapServices, options: ImapListenerOptions): Promise<ImapListener> {
    const { host, port, implicitTls, maxConnections, maxConnectionsPerAddress, front = null } = options;
    if (implicitTls && services.tls === null) throw new Error('implicit TLS without a certificate');
    const { metrics, logger } = services;
    const label = { listener: implicitTls ? 'imaps' : 'imap' };
    const sessions: Sessions = { open: new Set(), isStopping: false };
    const ofListener = { ...services, logger: logger.child(label) };
    const serve = async (connection: Connection): Promise<void> => {
      metrics.connectionsOpened.inc(label);
      metrics.connectionsOpen.inc(label);
      const session = openSession(ofListener, connection);
      sessions.open.add(session);
      // Its TLS handshake may have taken so long.
      if (sessions.isStopping) session.stop();
      try {
        await serveImap(session);
      } finally {
        sessions.open.delete(session);
        metrics.connectionsOpen.dec(label);
      }
    };
    const listener = await Listener.open({
      name: implicitTls ? 'IMAP with TLS' : 'IMAP',
      host,
      port,
      maxConnections,
      maxConnectionsPerAddress,
      front,
      tls: implicitTls ? services.tls : null,
      tooManyReply: '* BYE [UNAVAILABLE] Too many connections, try again later\r\n',
      serve,
      onFailure: (error) => logger.error({ event: 'conn.failure', protocol: 'imap', err: error }, 'connection failed'),
      onRefused: (why, remoteAddress) => {
        if (why === 'tls-handshake') metrics.tlsHandshakeFailures.inc(label);
        else
          metrics.connectionsRefused.inc({ ...label, reason: why === 'too-many' ? 'listener-full' : 'address-full' });
        logger.debug({ event: 'conn.refused', protocol: 'imap', remoteAddress, reason: why }, 'connection refused');
      },
    });
    return new ImapListener(listener, sessions);
  }

  get port(): number {
    return this.#listener.port;
  }

  get connections(): number {
    return this.#listener.connections;
  }

  /** No new connections; those there are go on. */
  stopAccepting(): void {
    this.#listener.stopAccepting();
  }

  /**
   * Running commands finish, then every session hears BYE; those that wait hear it at once. What is not done after
   * `graceMs` is cut off.
   */
  async close(graceMs: number): Promise<void> {
    this.stopAccepting();
    this.#sessions.isStopping = true;
    for (const session of this.#sessions.open) session.stop();
    await this.#listener.drain(graceMs);
  }
}

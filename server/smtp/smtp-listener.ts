/** One SMTP port: the library's callbacks bound to our rules, the log and the metrics; start and stop. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SMTPServerDataStream, SMTPServerSession } from 'smtp-server';
import { silentLogger, type Logger } from '#shared/observe/logger.ts';
import { listenFault } from '#shared/process/listen-fault.ts';
import type { TlsContext } from '#server/wire/tls-context.ts';
import type { RecipientDirectory } from '#server/mail/ports.ts';
import type { Authenticator } from '#server/accounts/authenticator.ts';
import { EnvelopeRules } from './envelope-rules.ts';
import { errorReply, replies, SmtpRefusal } from './fault-to-reply.ts';
import { logIn } from './login.ts';
import { MessageCut, receiveMessage, type Received, type ReceiveServices } from './receive-message.ts';
import type { SmtpOptions } from './smtp-options.ts';
import { trafficOf } from './smtp-connection.ts';
import { SmtpServer } from './smtp-server.ts';

/** How long `stop` waits for the store once there is nobody left to answer, in ms. */
const lastWorkMs = 2000;

export type SmtpServices = ReceiveServices & {
  readonly directory: RecipientDirectory;
  readonly authenticator: Authenticator;
  /** Asked anew for each handshake, so a replaced certificate is in force at once. */
  readonly tls: TlsContext;
  readonly logger: Logger;
};

export interface SmtpListener {
  /** Rejects with a ProgramFault when the port can't be had. */
  start(): Promise<void>;
  /** The port that is listened on; 0 before the start. */
  readonly port: number;
  readonly connections: number;
  /**
   * Takes no more connections, says 421 to those that are idle and to the others after their command; a message that
   * is being received gets its answer first. After `graceMs` what is left is dropped.
   */
  stop(graceMs: number): Promise<void>;
}

export function createSmtpListener(options: SmtpOptions, services: SmtpServices): SmtpListener {
  return new LibraryListener(options, services);
}

class LibraryListener implements SmtpListener {
  readonly #options: SmtpOptions;
  readonly #services: SmtpServices;
  readonly #server: SmtpServer;
  readonly #rules: EnvelopeRules;
  readonly #logs = new WeakMap<SMTPServerSession, Logger>();
  readonly #openedAt = new WeakMap<SMTPServerSession, number>();
  readonly #receiving = new Set<Promise<void>>();

  constructor(options: SmtpOptions, services: SmtpServices) {
    this.#options = options;
    this.#services = services;
    this.#server = new SmtpServer(options, services, (command, dialogue, session) =>
      logIn(services, command, dialogue, this.#log(session)).then(
        (user) => ({ user, refusal: null }),
        (error: unknown) => ({ user: null, refusal: this.#refusal(error, session, 'AUTH') }),
      ),
    );
    this.#rules = new EnvelopeRules(services, options);
    this.#bind();
  }

  get port(): number {
    const address = this.#server.server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  get connections(): number {
    return this.#server.openConnections;
  }

  async start(): Promise<void> {
    const { host, port, name } = this.#options;
    const listening = once(this.#server.server, 'listening');
    this.#server.listen(port, host);
    try {
      await listening;
    } catch (error) {
      throw error instanceof Error ? listenFault(error, { name: `SMTP (${name})`, host, port }) : error;
    }
  }

  async stop(graceMs: number): Promise<void> {
    const closed = this.#server.server.listening ? once(this.#server.server, 'close') : Promise.resolve();
    const timer = setTimeout(() => this.#server.destroyAll(), graceMs);
    this.#server.drain();
    await closed;
    clearTimeout(timer);
    // Their connections are gone, yet what they began with the store and the spool is ours to finish, if it can be.
    await Promise.race([Promise.all(this.#receiving), sleep(lastWorkMs, null, { ref: false })]);
  }

  #bind(): void {
    const server = this.#server;
    server.onConnect = (session, done) => {
      this.#opened(session);
      done();
    };
    server.onSecure = (_socket, _session, done) => done();
    server.onClose = (session) => this.#closed(session);
    server.onMailFrom = (address, session, done) => {
      this.#rules.checkMail(address, session).then(
        () => this.#answer('MAIL', '2', done),
        (error: unknown) => done(this.#refusal(error, session, 'MAIL')),
      );
    };
    server.onRcptTo = (address, session, done) => {
      this.#rules.checkRecipient(address, session).then(
        () => this.#answer('RCPT', '2', done),
        (error: unknown) => done(this.#refusal(error, session, 'RCPT', address.address)),
      );
    };
    server.onData = (stream, session, done) => {
      const receiving = this.#receive(stream, session, done).finally(() => this.#receiving.delete(receiving));
      this.#receiving.add(receiving);
    };
  }

  async #receive(
    stream: SMTPServerDataStream,
    session: SMTPServerSession,
    done: (error?: Error | null, message?: string) => void,
  ): Promise<void> {
    const { metrics } = this.#services;
    const listener = this.#options.name;
    try {
      const received = await receiveMessage(stream, session, this.#services, this.#options, this.#log(session));
      metrics.smtpTransactions.inc({ listener, outcome: 'accepted' });
      metrics.smtpReplies.inc({ listener, verb: 'DATA', class: '2' });
      done(null, `2.0.0 ${receivedText(received)}`);
    } catch (error) {
      if (error instanceof MessageCut) {
        metrics.smtpTransactions.inc({ listener, outcome: 'aborted' });
        this.#log(session).info({ event: 'msg.cut' }, 'connection lost in a message');
        return;
      }
      const refusal = this.#refusal(error, session, 'DATA');
      metrics.smtpTransactions.inc({ listener, outcome: refusal.responseCode < 500 ? 'later' : 'refused' });
      done(refusal);
    }
  }

  #answer(verb: string, replyClass: string, done: () => void): void {
    this.#services.metrics.smtpReplies.inc({ listener: this.#options.name, verb, class: replyClass });
    done();
  }

  /** What the peer is told of `error`; the log hears more. */
  #refusal(error: unknown, session: SMTPServerSession, verb: string, recipient?: string): SmtpRefusal {
    const reply = errorReply(error);
    const log = this.#log(session);
    if (reply === null) log.error({ event: 'smtp.bug', verb, err: error }, 'unexpected error');
    const refusal = new SmtpRefusal(reply ?? replies.internalError);
    // A login and a message have lines of their own.
    if (verb === 'MAIL' || verb === 'RCPT') {
      const about = { verb, recipient, code: refusal.responseCode, reply: refusal.message };
      log.info({ event: 'smtp.refused', ...about }, 'refused');
    }
    if (verb !== 'AUTH') {
      const replyClass = refusal.responseCode < 500 ? '4' : '5';
      this.#services.metrics.smtpReplies.inc({ listener: this.#options.name, verb, class: replyClass });
    }
    return refusal;
  }

  #opened(session: SMTPServerSession): void {
    const log = this.#services.logger.child({ connection: session.id });
    this.#logs.set(session, log);
    log.info(
      {
        event: 'conn.open',
        listener: this.#options.name,
        remoteAddress: session.remoteAddress,
        remotePort: session.remotePort,
        tls: tlsOf(session),
      },
      'connection opened',
    );
    this.#openedAt.set(session, this.#services.clock.monotonicMs());
  }

  #closed(session: SMTPServerSession): void {
    const { clock } = this.#services;
    const seconds = (clock.monotonicMs() - (this.#openedAt.get(session) ?? clock.monotonicMs())) / 1000;
    const tls = tlsOf(session);
    this.#log(session).info({ event: 'conn.close', ...trafficOf(session), seconds, tls }, 'connection closed');
  }

  /** A connection that never got a greeting has no log of its own, and nothing is said of its end. */
  #log(session: SMTPServerSession): Logger {
    return this.#logs.get(session) ?? silentLogger;
  }
}

function receivedText({ id, queued }: Received): string {
  const [first] = queued;
  return first === undefined ? `Stored as ${id}` : `Stored as ${id}, queued as q${first}`;
}

/** Version and cipher; null in clear. Known after STARTTLS too. */
function tlsOf({ tlsOptions }: SMTPServerSession): string | null {
  return tlsOptions ? `${tlsOptions.version} ${tlsOptions.name}` : null;
}

/**
 * smtp-server's connection with our bounds, replies and drain. It overrides methods of the exported class; the
 * package is pinned, and library.test.ts fails when what is relied on here changes.
 */
import type { Socket } from 'node:net';
import { SMTPConnection } from 'smtp-server/lib/smtp-connection.js';
import type { SMTPServer } from 'smtp-server';
import type { SMTPStream } from 'smtp-server/lib/smtp-stream.js';
import { offeredMechanisms, type SaslDialogue, type SaslMechanism } from '#server/accounts/sasl-login.ts';
import { decodeResponse } from '#server/sasl/response.ts';
import { channelBinding } from '#server/wire/channel-binding.ts';
import { DataStream } from './data-stream.ts';
import { replies, replyText, type Reply } from './fault-to-reply.ts';
import type { AuthCommand } from './login.ts';
import { authenticationOf, type SmtpOptions } from './smtp-options.ts';
import type { SmtpHost } from './smtp-host.ts';

export type Traffic = { readonly bytesRead: number; readonly bytesWritten: number };

/** What a session's connection moved in all, known when it is closed. */
const traffic = new WeakMap<object, Traffic>();

export function trafficOf(session: object): Traffic {
  return traffic.get(session) ?? { bytesRead: 0, bytesWritten: 0 };
}

const recipientCommand = /^RCPT TO:<([^<>\r\n]+)>/gim;
const startsWithStatus = /^[245]\.\d{1,3}\.\d{1,3} /;

export class SmtpConnection extends SMTPConnection {
  readonly #options: SmtpOptions;
  readonly #listener: SmtpHost;
  /** Says that AUTH, or the line that answered a challenge, has been dealt with. */
  #authDone: (() => void) | null = null;
  /** To be told with the reply to EHLO that is on its way. */
  #extensions: readonly string[] = [];
  #isDraining = false;
  #isTimingOut = false;
  #commands = 0;
  #errors = 0;
  /** The next reply is the one to a message. */
  #isAwaitingVerdict = false;
  /** The socket whose replies are held back. */
  #held: Socket | null = null;

  constructor(
    server: SMTPServer & SmtpHost,
    socket: Socket,
    socketOptions: ConstructorParameters<typeof SMTPConnection>[2],
    options: SmtpOptions,
  ) {
    super(server, socket, socketOptions);
    this.#options = options;
    this.#listener = server;
  }

  /** Says 421 as soon as no command is running: at once to a client that is idle. */
  drain(): void {
    this.#isDraining = true;
    this.#endWhenIdle();
  }

  destroy(): void {
    this._socket.destroy();
  }

  override _onClose(): void {
    traffic.set(this.session, { bytesRead: this._socket.bytesRead, bytesWritten: this._socket.bytesWritten });
    super._onClose();
  }

  override init(): void {
    this._setListeners(() => {
      if (this.#options.greetingDelayMs === 0) {
        this.connectionReady();
        return;
      }
      // What arrives before the end of the delay is answered with 421 and the connection closed.
      setTimeout(() => this.connectionReady(), this.#options.greetingDelayMs).unref();
    });
  }

  override _createParser(): SMTPStream {
    const parser = new DataStream();
    parser.onBurst = {
      begin: (input, isMessage) => {
        this.#hold();
        if (!isMessage) this.#lookAhead(input);
      },
      end: () => this.#flush(),
    };
    parser.oncommand = (command, callback) => this._onCommand(command, callback);
    parser.on('error', (error) => this.send(421, `Error: ${error.message}`));
    // The peer ended its side, and everything it sent before has its answer.
    parser.on('finish', () => this.close());
    return parser;
  }

  override _onCommand(command: Buffer, callback?: () => void): void {
    // In the handshake nothing may be written; what came in clear behind STARTTLS is dropped by the library.
    if (!this._upgrading) {
      if (this.#isDraining) {
        this.#reply(replies.stopping);
        return;
      }
      this.#commands += 1;
      if (this.#commands > this.#options.maxCommands) {
        this.#reply(replies.tooManyCommands);
        return;
      }
    }
    super._onCommand(command, callback);
  }

  override send(code: number, data?: string | string[] | null, context?: string | false): void {
    if (code === 530 && !this.secure && !this.#options.developmentMode) {
      // RFC 3207 section 4: before TLS that is what is missing first.
      super.send(code, replyText(replies.startTlsFirst), false);
    } else {
      if (code === 250 && Array.isArray(data)) data = [...data, ...this.#extensions];
      super.send(code, data, typeof data === 'string' && startsWithStatus.test(data) ? false : context);
    }
    this.#judge(code);
    if (this.#isDraining) setImmediate(() => this.#endWhenIdle());
  }

  /** The library gives 421 the status of a timeout; it uses it for abuse too. */
  override _getEnhancedStatusCode(code: number, context?: string | false): string {
    if (code === 421 && context !== false) return this.#isTimingOut ? '4.4.2' : '4.7.0';
    // RFC 4954 section 4.
    if (code === 538) return '5.7.11';
    return super._getEnhancedStatusCode(code, context);
  }

  override _onTimeout(): void {
    this.#isTimingOut = true;
    super._onTimeout();
    this.#isTimingOut = false;
  }

  override handler_EHLO(command: Buffer, callback: () => void): void {
    // RFC 4954 section 4: AUTH is announced only where it can be used.
    const isAuthUsable = this.secure || this.#options.developmentMode;
    const { disabledCommands } = this._server.options;
    if (!isAuthUsable) this.session.disabledCommands = [...disabledCommands, 'AUTH'];
    // The library announces one list for all of its connections, and reads it right here.
    this._server.options.authMethods = [...this.#mechanisms()];
    this.#extensions = this.#listener.extensions(this.secure);
    super.handler_EHLO(command, callback);
    this.#extensions = [];
    if (!isAuthUsable) delete this.session.disabledCommands;
  }

  override handler_AUTH(command: Buffer, callback: () => void): void {
    if (this.session.envelope.mailFrom) {
      this.#reply(replies.authenticationNotNow);
      callback();
      return;
    }
    const [, name = '', initial = null, ...rest] = command.toString().trim().split(/\s+/);
    const mechanism = this.#mechanisms().find((offered) => offered === name.toUpperCase());
    if (!this.secure && !this.#options.developmentMode) this.#reply(replies.startTlsForAuth);
    else if (this.session.user) this.#reply(replies.authenticatedAlready);
    else if (mechanism === undefined) this.#reply(replies.unknownMechanism);
    else if (rest.length > 0) this.#reply(replies.malformedCredentials);
    else {
      this.#authDone = callback;
      void this.#authenticate({ mechanism, initial });
      return;
    }
    callback();
  }

  /** Never rejects. */
  async #authenticate(command: AuthCommand): Promise<void> {
    const dialogue: SaslDialogue = {
      protocol: 'submission',
      remoteAddress: this.session.remoteAddress,
      channelBinding: (name) => this.#channelBinding(name),
      ask: (challenge) => this.#ask(challenge),
    };
    const { user, refusal } = await this.#listener.authenticate(command, dialogue, this.session);
    if (user !== null) {
      this.session.user = user;
      this.session.transmissionType = this._transmissionType();
      this.send(235, 'Authentication successful');
    } else this.send(refusal.responseCode, refusal.message);
    this.#endOfAuthLine();
  }

  /** RFC 4954 section 4: 334 with the challenge, and a line with the response, or "*". */
  #ask(challenge: Buffer): Promise<Buffer | null> {
    return new Promise((resolve, reject) => {
      this._nextHandler = (line, done) => {
        this.#authDone = done;
        const text = line.toString('latin1').trim();
        try {
          resolve(text === '*' ? null : decodeResponse(text));
        } catch (error) {
          reject(error);
        }
      };
      this.send(334, challenge.toString('base64'));
      this.#endOfAuthLine();
    });
  }

  #endOfAuthLine(): void {
    const done = this.#authDone;
    this.#authDone = null;
    done?.();
  }

  #mechanisms(): readonly SaslMechanism[] {
    const { authenticator } = this.#listener;
    return offeredMechanisms(authenticator, { channelBinding: (name) => this.#channelBinding(name) });
  }

  #channelBinding(name: string): Buffer | null {
    return channelBinding(this._socket, name);
  }

  override handler_VRFY(_command: Buffer, callback: () => void): void {
    this.#reply(replies.vrfy);
    callback();
  }

  override handler_DATA(command: Buffer, callback: () => void): void {
    super.handler_DATA(command, callback);
    const message = this._dataStream;
    if (!message) return;
    this.#isAwaitingVerdict = true;
    const timer = setTimeout(() => this.#reply(replies.tooSlow), this.#options.dataTimeoutMs);
    message.once('end', () => clearTimeout(timer));
    message.once('close', () => clearTimeout(timer));
  }

  override upgrade(callback: () => void, secureCallback?: () => void): void {
    const plain = this._socket;
    // The reply to STARTTLS must be out before the handshake.
    this.#flush();
    super.upgrade(callback, secureCallback);
    this.emit('upgrade', plain);
    const timer = setTimeout(() => {
      if (this._upgrading) this.destroy();
    }, this.#options.handshakeTimeoutMs);
    timer.unref();
  }

  /** The library waits here for a peer that is behind with its replies. */
  override _whenWritable(next: () => void): void {
    if (this._socket.writableNeedDrain) this.#flush();
    super._whenWritable(next);
  }

  override _armTimeout(socket: Socket = this._socket): void {
    super._armTimeout(socket);
    // The library arms the new socket before it is the connection's: its handshake begins.
    if (socket !== this._socket) destroyIfHandshakeEnds(socket);
  }

  /** RFC 2920 section 3.2: the replies to commands that came together go together, in one packet. */
  #hold(): void {
    if (this.#held !== null || this._upgrading) return;
    this.#held = this._socket;
    this.#held.cork();
  }

  /** Of recipients that come together none waits for the look-up of the one before it. */
  #lookAhead(input: Buffer): void {
    if (!hasTwoRecipients(input) || !this.hostNameAppearsAs || this.#isDraining) return;
    if (!this._server.options.authOptional && !this.session.user) return;
    const addresses = input
      .toString()
      .matchAll(recipientCommand)
      .take(this.#options.maxRecipients)
      .map(([, address]) => address as string)
      .toArray();
    if (addresses.length > 1) this.#listener.directory.expectRecipients(addresses);
  }

  #flush(): void {
    const held = this.#held;
    this.#held = null;
    held?.uncork();
  }

  #reply(reply: Reply): void {
    this.send(reply.code, replyText(reply));
  }

  #judge(code: number): void {
    if (this._closing) return;
    if (this.#isAwaitingVerdict) {
      this.#isAwaitingVerdict = false;
      if (code === 250) this.#commands = 0;
    }
    if (code === 535) this.#errors += 4;
    else if (code >= 500) this.#errors += 1;
    if (this.#errors >= this.#options.maxErrors) this.#reply(replies.tooManyErrors);
  }

  #endWhenIdle(): void {
    if (this._closing || this._handlerPending || this._dataStream) return;
    this.#reply(replies.stopping);
  }
}

/** As every client writes it; who writes it otherwise has each looked up by itself. */
function hasTwoRecipients(input: Buffer): boolean {
  const first = input.indexOf('RCPT TO:', 0, 'latin1');
  return first >= 0 && input.includes('RCPT TO:', first + 1, 'latin1');
}

/** Half-open is for sessions: who ends its side before the handshake is done has left, and would hold its place. */
export function destroyIfHandshakeEnds(socket: Socket): void {
  const destroy = (): void => void socket.destroy();
  socket.once('end', destroy);
  socket.once('secure', () => socket.off('end', destroy));
}

/** Which of smtp-server's options make the listener that `options` describes. */
export function libraryOptions(options: SmtpOptions): ConstructorParameters<typeof SMTPServer>[0] {
  const authentication = authenticationOf(options);
  return {
    secure: options.tls === 'implicit',
    name: options.hostname,
    banner: 'Postrider',
    heloResponse: '%s',
    size: options.maxMessageBytes,
    authMethods: ['PLAIN', 'LOGIN'],
    authOptional: authentication !== 'required',
    allowInsecureAuth: options.developmentMode,
    authRequiredMessage: replyText(replies.authenticationRequired),
    disabledCommands: [...(authentication === 'none' ? ['AUTH'] : []), 'XCLIENT', 'XFORWARD', 'WIZ', 'SHELL', 'KILL'],
    hideENHANCEDSTATUSCODES: false,
    maxRecipients: options.maxRecipients,
    maxAllowedUnauthenticatedCommands: options.maxErrors,
    // A name that the peer's own DNS tells proves nothing, and asking for it delays every greeting.
    disableReverseLookup: true,
    socketTimeout: options.idleTimeoutMs,
    // A client that sends its commands and then ends its side still gets the answers.
    allowHalfOpen: true,
    logger: false,
  };
}

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
import { plainAddress } from './plain-address.ts';
import { hasTwoRecipients, recipientsIn } from './recipients-ahead.ts';
import type { SmtpOptions } from './smtp-options.ts';
import type { SmtpHost } from './smtp-host.ts';

export type Traffic = { readonly bytesRead: number; readonly bytesWritten: number };

/** What a session's connection moved in all, known when it is closed. */
const traffic = new WeakMap<object, Traffic>();

export function trafficOf(session: object): Traffic {
  return traffic.get(session) ?? { bytesRead: 0, bytesWritten: 0 };
}

const startsWithStatus = /^[245]\.\d{1,3}\.\d{1,3} /;
const printable = /^[ -~]*$/;
/** Replies held back are given to the socket once they are so many bytes. */
const maxHeldBytes = 4096;

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
  /** Those that the socket was not given yet. */
  #replies = '';

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
    if (callback === undefined || !this.#runsAtOnce) super._onCommand(command, callback);
    else {
      switch (command.toString('latin1', 0, 5)) {
        case 'MAIL ':
          this.#run((done) => this.handler_MAIL(command, done), callback);
          break;
        case 'RCPT ':
          this.#run((done) => this.handler_RCPT(command, done), callback);
          break;
        case 'DATA':
          this.#run((done) => this.handler_DATA(command, done), callback);
          break;
        default:
          super._onCommand(command, callback);
      }
    }
  }

  /** None of the library's checks would keep a command of a mail transaction from its handler. */
  get #runsAtOnce(): boolean {
    const { options, _closeTimeout } = this._server;
    if (this._upgrading || !this._ready || this._nextHandler || _closeTimeout || options.lmtp) return false;
    return Boolean(this.hostNameAppearsAs) && (Boolean(options.authOptional) || Boolean(this.session.user));
  }

  /** As the library runs a handler. */
  #run(handler: (done: () => void) => void, callback: () => void): void {
    let isDone = false;
    const done = (): void => {
      isDone = true;
      this._handlerPending = false;
      this._whenWritable(callback);
    };
    this._handlerPending = true;
    try {
      handler(done);
    } catch (error) {
      this.emit('error', error);
      if (isDone) return;
      this.send(451, 'Error: internal server error');
      done();
    }
  }

  override _parseAddressCommand(
    name: string,
    command: Buffer | string,
  ): ReturnType<SMTPConnection['_parseAddressCommand']> {
    const address = Buffer.isBuffer(command) ? plainAddress(name, command) : null;
    return address === null ? super._parseAddressCommand(name, command) : { address, args: false };
  }

  override close(): void {
    // Before the end of what is written.
    this.#giveReplies();
    super.close();
  }

  override send(code: number, data?: string | string[] | null, context?: string | false): void {
    if (code === 530 && !this.secure && !this.#options.developmentMode) {
      // RFC 3207 section 4: before TLS that is what is missing first.
      this.#giveReplies();
      super.send(code, replyText(replies.startTlsFirst), false);
    } else {
      if (code === 250 && Array.isArray(data)) data = [...data, ...this.#extensions];
      const about = typeof data === 'string' && startsWithStatus.test(data) ? false : context;
      if (typeof data !== 'string' || !this.#sendPlain(code, data, about)) {
        this.#giveReplies();
        super.send(code, data, about);
      }
    }
    this.#judge(code);
    if (this.#isDraining) setImmediate(() => this.#endWhenIdle());
  }

  /** What the library would send, where it is one plain line that tells of no error; else false. */
  #sendPlain(code: number, text: string, context?: string | false): boolean {
    const socket = this._socket;
    if (code >= 400 || code === 334 || text === '' || this._upgrading || !printable.test(text)) return false;
    // Also to a client that has ended its side and waits for the answer.
    if (!socket.writable) return false;
    const status = this._getEnhancedStatusCode(code, context);
    const line = `${code} ${status === '' ? '' : `${status} `}${text}\r\n`;
    if (this.#held !== socket) socket.write(line, 'latin1');
    else {
      this.#replies += line;
      if (this.#replies.length >= maxHeldBytes) this.#giveReplies();
    }
    return true;
  }

  #giveReplies(): void {
    if (this.#replies === '') return;
    const held = this.#replies;
    this.#replies = '';
    this.#held?.write(held, 'latin1');
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
    const addresses = recipientsIn(input, this.#options.maxRecipients);
    if (addresses.length > 1) this.#listener.directory.expectRecipients(addresses);
  }

  #flush(): void {
    this.#giveReplies();
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

/** Half-open is for sessions: who ends its side before the handshake is done has left, and would hold its place. */
export function destroyIfHandshakeEnds(socket: Socket): void {
  const destroy = (): void => void socket.destroy();
  socket.once('end', destroy);
  socket.once('secure', () => socket.off('end', destroy));
}

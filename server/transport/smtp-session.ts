/**
 * The client's side of SMTP (RFC 5321) and LMTP (RFC 2033) on one connection: greeting, EHLO, STARTTLS, AUTH, then
 * one transaction after the other. Commands of a transaction leave in one piece where the peer has PIPELINING
 * (RFC 2920). It knows nothing of queues, routes and DNS.
 */
import type { TLSSocket } from 'node:tls';
import type { Credentials } from '#server/mail/outbound-routes.ts';
import type { TlsFacts } from '#server/mail/outbound-ports.ts';
import type { Deadlines } from './deadlines.ts';
import type { HostTls } from './host-tls.ts';
import { PeerFault } from './peer-fault.ts';
import type { PeerSocket } from './peer-socket.ts';
import { parseExtensions } from './smtp-extensions.ts';
import type { Extensions } from './smtp-extensions.ts';
import { ReplyReader } from './smtp-reply.ts';
import type { Reply } from './smtp-reply.ts';

/** The peer refuses to talk to us, before any transaction. */
export class ReplyFault extends Error {
  override readonly name = 'ReplyFault';
  readonly reply: Reply;
  readonly stage: 'greeting' | 'ehlo' | 'starttls' | 'auth';

  constructor(stage: ReplyFault['stage'], reply: Reply) {
    super(`refused at ${stage}: ${reply.code}`);
    this.stage = stage;
    this.reply = reply;
  }
}

export type SessionOptions = {
  readonly socket: PeerSocket;
  readonly protocol: 'smtp' | 'lmtp';
  /** What EHLO says. */
  readonly ownName: string;
  readonly tls: HostTls;
  readonly credentials: Credentials | null;
  readonly deadlines: Deadlines;
};

const noTls: TlsFacts = { version: null, cipher: null, policy: 'none', isVerified: false, result: 'none' };

export class SmtpSession {
  readonly protocol: 'smtp' | 'lmtp';
  readonly deadlines: Deadlines;
  readonly #socket: PeerSocket;
  readonly #replies = new ReplyReader();
  #extensions: Extensions = new Map();
  #tls: TlsFacts;
  #isClosing = false;

  private constructor({ socket, protocol, deadlines, tls }: SessionOptions) {
    this.#socket = socket;
    this.protocol = protocol;
    this.deadlines = deadlines;
    this.#tls = { ...noTls, policy: tls.policy };
  }

  /** Ready for MAIL. Rejects with PeerFault or ReplyFault, and the connection is closed then. */
  static async open(options: SessionOptions): Promise<SmtpSession> {
    const session = new SmtpSession(options);
    try {
      await session.#begin(options);
      return session;
    } catch (error) {
      options.socket.destroy();
      throw error;
    }
  }

  get extensions(): Extensions {
    return this.#extensions;
  }

  get tls(): TlsFacts {
    return this.#tls;
  }

  get localAddress(): string | null {
    return this.#socket.localAddress;
  }

  /** The next transaction may begin: nobody has closed it, and nothing came unasked (421 is what comes then). */
  get isUsable(): boolean {
    return !this.#isClosing && this.#socket.isUsable && !this.hasUnasked;
  }

  async write(chunk: string | Buffer, timeoutMs: number): Promise<void> {
    await this.#socket.write(chunk, timeoutMs);
  }

  /** The whole reply within the time, however slowly it comes. */
  async reply(timeoutMs: number): Promise<Reply> {
    const until = performance.now() + timeoutMs;
    for (;;) {
      const reply = this.#replies.next();
      if (reply) {
        // RFC 5321 section 3.8: whatever it answers, the connection is over.
        if (reply.code === 421) this.#isClosing = true;
        return reply;
      }
      this.#replies.push(await this.#socket.read(until - performance.now()));
    }
  }

  /** Something has come that nobody waited for. */
  get hasUnasked(): boolean {
    return this.#replies.hasHeld || this.#socket.hasUnread;
  }

  /** A reply that has come already, though nobody waited for it; null: none. */
  async overdueReply(): Promise<Reply | null> {
    try {
      return await this.reply(0);
    } catch {
      // What we have of it is no reply.
      return null;
    }
  }

  async command(line: string, timeoutMs = this.deadlines.commandMs): Promise<Reply> {
    await this.#socket.write(`${line}\r\n`, timeoutMs);
    return this.reply(timeoutMs);
  }

  destroy(): void {
    this.#isClosing = true;
    this.#socket.destroy();
  }

  /** Says QUIT and waits a moment for the answer. */
  async close(): Promise<void> {
    if (this.isUsable) {
      try {
        await this.command('QUIT', this.deadlines.quitMs);
      } catch {
        // It is gone already.
      }
    }
    this.destroy();
  }

  async #begin({ ownName, tls, credentials }: SessionOptions): Promise<void> {
    if (tls.start === 'implicit') await this.#secure(tls);
    const greeting = await this.reply(this.deadlines.greetingMs);
    if (greeting.code !== 220) throw new ReplyFault('greeting', greeting);
    await this.#hello(ownName);
    if (tls.start === 'offered' || tls.start === 'required') await this.#startTls(tls, ownName);
    if (credentials) await this.#authenticate(credentials, tls);
  }

  async #hello(ownName: string): Promise<void> {
    const verb = this.protocol === 'lmtp' ? 'LHLO' : 'EHLO';
    const reply = await this.command(`${verb} ${ownName}`);
    if (reply.code === 250) {
      this.#extensions = parseExtensions(reply);
      return;
    }
    // RFC 5321 section 3.2: one that does not know EHLO may know HELO; it has no extensions then.
    if (reply.code < 500 || this.protocol === 'lmtp') throw new ReplyFault('ehlo', reply);
    const old = await this.command(`HELO ${ownName}`);
    if (old.code !== 250) throw new ReplyFault('ehlo', old);
    this.#extensions = new Map();
  }

  async #startTls(tls: HostTls, ownName: string): Promise<void> {
    if (!this.#extensions.has('STARTTLS')) {
      if (tls.start === 'offered') return;
      throw new PeerFault('tls', 'the peer does not offer STARTTLS', { tlsResult: 'starttls-not-supported' });
    }
    const reply = await this.command('STARTTLS');
    if (reply.code !== 220) {
      if (tls.start === 'offered' && reply.code !== 421) return;
      throw new ReplyFault('starttls', reply);
    }
    // What came with the answer, in clear, is not from the protected session (CVE-2011-0411).
    if (this.#replies.hasHeld || this.#socket.hasUnread) {
      throw new PeerFault('tls', 'the peer sent more after its answer to STARTTLS', {
        tlsResult: 'validation-failure',
      });
    }
    await this.#secure(tls);
    await this.#hello(ownName);
  }

  async #secure(tls: HostTls): Promise<void> {
    let socket: TLSSocket;
    try {
      socket = await this.#socket.startTls(tls.options, this.deadlines.handshakeMs);
    } catch (cause) {
      if (!(cause instanceof PeerFault)) throw cause;
      throw new PeerFault(cause.kind, cause.message, { cause, tlsResult: 'validation-failure' });
    }
    const verdict = tls.judge(socket);
    this.#tls = {
      version: socket.getProtocol(),
      cipher: socket.getCipher().name,
      policy: tls.policy,
      isVerified: verdict.isVerified,
      result: verdict.result,
    };
    if (verdict.isRefused) throw new PeerFault('tls', verdict.text, { tlsResult: verdict.result });
  }

  async #authenticate({ user, password }: Credentials, tls: HostTls): Promise<void> {
    if (this.#tls.version === null && tls.start !== 'never') {
      throw new Error('a password would be sent without TLS');
    }
    const mechanisms = (this.#extensions.get('AUTH') ?? '').toUpperCase().split(' ');
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    let reply: Reply;
    if (mechanisms.includes('LOGIN') && !mechanisms.includes('PLAIN')) {
      reply = await this.command('AUTH LOGIN');
      if (reply.code === 334) reply = await this.command(base64(user));
      if (reply.code === 334) reply = await this.command(base64(password));
    } else {
      reply = await this.command(`AUTH PLAIN ${base64(`\0${user}\0${password}`)}`);
    }
    if (reply.code !== 235) throw new ReplyFault('auth', reply);
  }
}

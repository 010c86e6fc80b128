/** A mail server on loopback that answers as a test says, with or without TLS. Keeps what it was told. */
import net from 'node:net';
import tls from 'node:tls';

export type Told = {
  /** Commands, in order, without line ends; the message's bytes (still dot-stuffed) stand as one entry. */
  readonly commands: string[];
  readonly messages: Buffer[];
  isSecure: boolean;
  servername: string | false | null;
};

/** What is answered to a command; null: nothing, `hangup`: the connection is closed at once. */
export type Answer = string | null | { readonly hangup: true } | { readonly lastWords: string };

export type ScriptedPeerOptions = {
  readonly greeting?: string;
  /** EHLO keywords after TLS and, unless `beforeTls` is given, before it. */
  readonly keywords?: readonly string[];
  readonly beforeTls?: readonly string[];
  readonly lmtp?: boolean;
  readonly address?: string;
  readonly port?: number;
  /** Offers STARTTLS; or TLS from the first byte. */
  readonly tls?: tls.SecureContextOptions;
  readonly isImplicitTls?: boolean;
  /** By verb and whole line; undefined: as a good server does. `end` is the answer to the final dot. */
  readonly answer?: (verb: string, line: string, session: Told) => Answer | undefined;
};

export class ScriptedPeer implements AsyncDisposable {
  readonly sessions: Told[] = [];
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor(server: net.Server) {
    this.#server = server;
  }

  static async start(options: ScriptedPeerOptions = {}): Promise<ScriptedPeer> {
    const server = net.createServer();
    const peer = new ScriptedPeer(server);
    server.on('connection', (socket) => {
      peer.#sockets.add(socket);
      socket.on('close', () => peer.#sockets.delete(socket));
      socket.on('error', () => undefined);
      const told: Told = { commands: [], messages: [], isSecure: false, servername: null };
      peer.sessions.push(told);
      new Session(options, told).begin(socket);
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    server.once('error', reject);
    server.listen(options.port ?? 0, options.address ?? '127.0.0.1', resolve);
    await promise;
    return peer;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** Of all sessions. */
  get commands(): readonly string[] {
    return this.sessions.flatMap(({ commands }) => commands);
  }

  get messages(): readonly Buffer[] {
    return this.sessions.flatMap(({ messages }) => messages);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

class Session {
  readonly #options: ScriptedPeerOptions;
  readonly #told: Told;
  #socket: net.Socket | null = null;
  #held = Buffer.alloc(0);
  #isData = false;
  #taken = 0;

  constructor(options: ScriptedPeerOptions, told: Told) {
    this.#options = options;
    this.#told = told;
  }

  begin(socket: net.Socket): void {
    if (this.#options.isImplicitTls === true) this.#secure(socket, true);
    else {
      this.#listen(socket);
      this.#greet();
    }
  }

  #greet(): void {
    this.#say(this.#options.greeting ?? '220 peer.test ready');
  }

  #listen(socket: net.Socket): void {
    this.#socket = socket;
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      this.#held = Buffer.concat([this.#held, chunk]);
      this.#read();
    });
  }

  #secure(plain: net.Socket, isGreeting: boolean): void {
    plain.removeAllListeners('data');
    this.#held = Buffer.alloc(0);
    const secure = new tls.TLSSocket(plain, {
      isServer: true,
      secureContext: tls.createSecureContext(this.#options.tls),
      SNICallback: (name, done) => {
        this.#told.servername = name;
        done(null);
      },
    });
    secure.once('secure', () => {
      this.#told.isSecure = true;
      if (isGreeting) this.#greet();
    });
    this.#listen(secure);
  }

  #read(): void {
    for (;;) {
      if (this.#isData) {
        const at = this.#held.indexOf('\r\n.\r\n');
        const isEmpty = this.#held.subarray(0, 3).equals(Buffer.from('.\r\n'));
        if (at === -1 && !isEmpty) return;
        this.#isData = false;
        this.#told.messages.push(this.#held.subarray(0, isEmpty ? 0 : at + 2));
        this.#held = this.#held.subarray(isEmpty ? 3 : at + 5);
        this.#answerEnd();
        continue;
      }
      const at = this.#held.indexOf('\r\n');
      if (at === -1) return;
      const line = this.#held.subarray(0, at).toString('utf8');
      this.#held = this.#held.subarray(at + 2);
      this.#told.commands.push(line);
      this.#command(line);
    }
  }

  #answerEnd(): void {
    const count = this.#options.lmtp === true ? this.#taken : 1;
    this.#taken = 0;
    for (let i = 0; i < count; i++) {
      const answer = this.#options.answer?.('end', String(i), this.#told);
      this.#give(answer === undefined ? '250 2.0.0 taken' : answer);
    }
  }

  #command(line: string): void {
    const verb = (/^[a-z]+/i.exec(line)?.[0] ?? '').toUpperCase();
    const given = this.#options.answer?.(verb, line, this.#told);
    const answer = given === undefined ? this.#usual(verb) : given;
    this.#give(answer);
    const code = typeof answer === 'string' ? answer.slice(0, 3) : '';
    if (verb === 'RCPT' && code.startsWith('2')) this.#taken += 1;
    if (verb === 'DATA' && code === '354') this.#isData = true;
    if (verb === 'STARTTLS' && code === '220' && this.#socket) this.#secure(this.#socket, false);
    if (verb === 'QUIT') this.#socket?.end();
  }

  #usual(verb: string): string {
    switch (verb) {
      case 'EHLO':
      case 'LHLO': {
        const { keywords = [], beforeTls = keywords, tls: context, isImplicitTls } = this.#options;
        const isOffering = context !== undefined && !this.#told.isSecure && isImplicitTls !== true;
        const lines = [
          'peer.test',
          ...(this.#told.isSecure ? keywords : beforeTls),
          ...(isOffering ? ['STARTTLS'] : []),
        ];
        return lines.map((each, i) => `250${i === lines.length - 1 ? ' ' : '-'}${each}`).join('\r\n');
      }
      case 'DATA':
        return '354 go on';
      case 'STARTTLS':
        return '220 2.0.0 go on';
      case 'QUIT':
        return '221 2.0.0 bye';
      case 'AUTH':
        return '235 2.7.0 welcome';
      default:
        return '250 2.0.0 ok';
    }
  }

  #give(answer: Answer): void {
    if (answer === null) return;
    if (typeof answer === 'string') this.#say(answer);
    else if ('hangup' in answer) this.#socket?.destroy();
    else this.#socket?.end(`${answer.lastWords}\r\n`);
  }

  #say(text: string): void {
    this.#socket?.write(`${text}\r\n`);
  }
}

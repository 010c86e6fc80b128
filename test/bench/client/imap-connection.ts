/** An IMAP client that costs little: it counts bytes and waits for tagged lines, and parses nothing else. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { Door, Login } from './tasks.ts';

type Waiting = {
  readonly tag: Buffer;
  readonly resolve: (line: string) => void;
  readonly reject: (error: Error) => void;
};

/** For what comes untagged; 25 s because a server that only looks every 30 s is not listening. */
const waitTimeoutMs = 25_000;
const crlf = Buffer.from('\r\n');

export class ImapConnection {
  readonly #socket: Socket;
  readonly #waiting: Waiting[] = [];
  /** Begins with CRLF, so that a tag at the beginning of a line is always found behind one. */
  #rest: Buffer = crlf;
  #number = 0;
  bytes = 0;
  /** Sees every chunk that comes in. */
  onChunk: ((chunk: Buffer) => void) | null = null;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('data', (chunk: Buffer) => this.#hear(chunk));
    const end = (error?: Error): void => {
      for (const { reject } of this.#waiting.splice(0)) reject(error ?? new Error('the server hung up'));
    };
    socket.on('error', end);
    socket.on('close', () => end());
  }

  /** Connected and greeted. */
  static async open({ port, tls, from }: Door): Promise<ImapConnection> {
    const to = { port, host: '127.0.0.1', ...(from !== undefined && { localAddress: from }) };
    const socket = tls ? connectTls({ ...to, rejectUnauthorized: false }) : connect(to);
    const connection = new ImapConnection(socket);
    const greeted = connection.wait((text) => text.includes('\r\n'));
    await once(socket, tls ? 'secureConnect' : 'connect');
    await greeted;
    return connection;
  }

  static async login(login: Login): Promise<ImapConnection> {
    const connection = await ImapConnection.open(login);
    await connection.command(`LOGIN ${login.user} "${login.password}"`);
    return connection;
  }

  /** Resolves with the tagged line without its tag; rejects unless it is OK. */
  async command(text: string | Buffer): Promise<string> {
    const line = await this.send(text);
    if (!line.startsWith('OK')) throw new Error(`${text.toString('latin1').slice(0, 60)}: ${line}`);
    return line;
  }

  /** Resolves with the tagged line, whatever it says. */
  send(text: string | Buffer): Promise<string> {
    const name = `T${String(++this.#number).padStart(7, '0')}`;
    const result = new Promise<string>((resolve, reject) => {
      this.#waiting.push({ tag: Buffer.from(`\r\n${name} `), resolve, reject });
    });
    if (typeof text === 'string') this.#socket.write(`${name} ${text}\r\n`);
    else this.#socket.write(Buffer.concat([Buffer.from(`${name} `), text, crlf]));
    return result;
  }

  /** APPEND with a non-synchronising literal (RFC 7888). */
  append(mailbox: string, messages: readonly Buffer[]): Promise<string> {
    const parts = messages.flatMap((message) => [Buffer.from(` {${message.length}+}\r\n`), message]);
    return this.command(Buffer.concat([Buffer.from(`APPEND ${mailbox}`), ...parts]));
  }

  /** Commands with at most `depth` under way at a time. */
  async pipeline(commands: readonly string[], depth: number): Promise<void> {
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let command = commands[next++]; command !== undefined; command = commands[next++])
        await this.command(command);
    };
    await Promise.all(Array.from({ length: depth }, lane));
  }

  /** Untagged text until `isEnough` of what came since the call. */
  wait(isEnough: (text: string) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      let text = '';
      const fail = (what: string): void => reject(new Error(`${what} after ${JSON.stringify(text.slice(-200))}`));
      const gone = (): void => fail('the server hung up');
      const timer = setTimeout(() => fail('nothing came'), waitTimeoutMs);
      this.#socket.once('close', gone);
      this.onChunk = (chunk) => {
        text += chunk.toString('latin1');
        if (!isEnough(text)) return;
        this.onChunk = null;
        clearTimeout(timer);
        this.#socket.off('close', gone);
        resolve();
      };
    });
  }

  write(text: string): void {
    this.#socket.write(text);
  }

  async logout(): Promise<void> {
    await this.send('LOGOUT').catch(() => undefined); // Some hang up before the tagged line is read.
    this.close();
  }

  close(): void {
    this.#socket.destroy();
  }

  #hear(chunk: Buffer): void {
    this.bytes += chunk.length;
    this.onChunk?.(chunk);
    let text = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    for (let waiting = this.#waiting[0]; waiting !== undefined; waiting = this.#waiting[0]) {
      const at = text.indexOf(waiting.tag);
      const end = at === -1 ? -1 : text.indexOf(crlf, at + waiting.tag.length);
      if (end === -1) {
        this.#rest = at === -1 ? text.subarray(Math.max(0, text.length - waiting.tag.length)) : text.subarray(at);
        return;
      }
      this.#waiting.shift();
      waiting.resolve(text.toString('latin1', at + waiting.tag.length, end));
      text = text.subarray(end);
    }
    this.#rest = text.subarray(Math.max(0, text.length - 16));
  }
}

/** An IMAP client that sends what it is told and keeps what it hears. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { login, password } from './imap-under-test.ts';

export class Client {
  #socket: Socket;
  #buffer = '';
  #isEnded = false;
  #wake: (() => void) | null = null;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen();
  }

  static async dial(port: number, implicitTls: boolean): Promise<Client> {
    const at = { port, host: '127.0.0.1' };
    const socket = implicitTls ? connectTls({ ...at, rejectUnauthorized: false }) : connect(at);
    socket.setNoDelay(true);
    const client = new Client(socket);
    await once(socket, implicitTls ? 'secureConnect' : 'connect');
    return client;
  }

  async arrive(state: string): Promise<void> {
    if (state === 'fresh') return;
    await this.line();
    if (state === 'greeted') return;
    await this.command(`LOGIN ${login} ${password}`);
    if (state === 'authenticated') return;
    await this.command(state === 'examined' ? 'EXAMINE INBOX' : 'SELECT INBOX');
  }

  /** Gives the lines before the tagged OK. */
  async command(text: string): Promise<readonly string[]> {
    this.send(`x0 ${text}\r\n`);
    const lines: string[] = [];
    for (;;) {
      const line = await this.line();
      if (line.startsWith('x0 OK')) return lines;
      if (line.startsWith('x0 ')) throw new Error(line);
      lines.push(line);
    }
  }

  send(text: string): void {
    this.#socket.write(text, 'latin1');
  }

  async line(): Promise<string> {
    for (;;) {
      const end = this.#buffer.indexOf('\r\n');
      if (end >= 0) {
        const line = this.#buffer.slice(0, end);
        this.#buffer = this.#buffer.slice(end + 2);
        return line;
      }
      if (this.#isEnded) throw new Error(`the server ended, after ${JSON.stringify(this.#buffer)}`);
      await this.#more();
    }
  }

  async expectEnd(): Promise<void> {
    while (!this.#isEnded) await this.#more();
    this.expectSilence();
  }

  /** Resolves when the server has ended the connection, or has said nothing for so long. */
  async endOrSilence(silenceMs: number): Promise<void> {
    for (let heard = -1; !this.#isEnded && heard !== this.#buffer.length;) {
      heard = this.#buffer.length;
      await new Promise((resolve) => setTimeout(resolve, silenceMs));
    }
  }

  expectSilence(): void {
    if (this.#buffer !== '') throw new Error(`unexpected: ${this.#buffer}`);
  }

  async startTls(): Promise<void> {
    this.#socket.removeAllListeners();
    this.#socket = connectTls({ socket: this.#socket, rejectUnauthorized: false });
    this.#listen();
    await once(this.#socket, 'secureConnect');
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Goes away without an end, as a program that crashes. */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  #listen(): void {
    this.#socket.on('data', (chunk: Buffer) => {
      this.#buffer += chunk.toString('latin1');
      this.#wake?.();
    });
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => {
      this.#isEnded = true;
      this.#wake?.();
    });
  }

  #more(): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`nothing came, after ${JSON.stringify(this.#buffer)}`)), 4_000);
      this.#wake = () => {
        clearTimeout(timer);
        this.#wake = null;
        resolve();
      };
    });
  }
}

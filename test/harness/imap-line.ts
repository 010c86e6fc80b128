/** A raw IMAP client: sends what it is told, gives back what was said. No cleverness, so that tests see the wire. */
import type net from 'node:net';
import tls from 'node:tls';
import { readFileSync } from 'node:fs';

export class ImapLine implements Disposable {
  readonly #socket: net.Socket;
  #text = '';
  #isClosed = false;
  #wake: (() => void) | null = null;
  #tag = 0;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      this.#text += chunk;
      this.#wake?.();
    });
    socket.on('error', () => undefined); // 'close' follows.
    socket.on('close', () => {
      this.#isClosed = true;
      this.#wake?.();
    });
  }

  static async connectTls(port: number, certificateFile: string): Promise<ImapLine> {
    const socket = tls.connect({ host: 'localhost', port, ca: readFileSync(certificateFile) });
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve);
      socket.once('error', reject);
    });
    const line = new ImapLine(socket);
    await line.until(/^\* OK .*\r\n/);
    return line;
  }

  /** Logged in, over TLS. */
  static async login(
    service: { ports: { imapTls: number }; certificateFile: string },
    user: { address: string; password: string },
  ): Promise<ImapLine> {
    const line = await ImapLine.connectTls(service.ports.imapTls, service.certificateFile);
    await line.ok(`LOGIN "${user.address}" "${user.password}"`);
    return line;
  }

  /** Sends bytes as they are (latin1). */
  send(text: string): void {
    this.#socket.write(text, 'latin1');
  }

  /** Waits until what was said and not yet taken matches, and takes it up to the end of the match. */
  async until(pattern: RegExp, timeoutMs = 20_000): Promise<string> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      const match = pattern.exec(this.#text);
      if (match) {
        const end = match.index + match[0].length;
        const taken = this.#text.slice(0, end);
        this.#text = this.#text.slice(end);
        return taken;
      }
      if (this.#isClosed) throw new Error(`connection closed; said: ${this.#text.slice(-500)}`);
      if (performance.now() > deadline) throw new Error(`no ${pattern} in time; said: ${this.#text.slice(-500)}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, 100);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /** Sends a command; resolves with all that is said up to and with its tagged reply. */
  async command(text: string): Promise<string> {
    const tag = `t${++this.#tag}`;
    this.send(`${tag} ${text}\r\n`);
    return this.until(new RegExp(`(^|\\r\\n)${tag} (OK|NO|BAD)[^\\r\\n]*\\r\\n`));
  }

  /** The same; throws unless the reply is OK. */
  async ok(text: string): Promise<string> {
    const reply = await this.command(text);
    if (!/(^|\r\n)t\d+ OK[^\r\n]*\r\n$/.test(reply)) throw new Error(`${text.slice(0, 100)}: ${reply.slice(-300)}`);
    return reply;
  }

  /** APPENDs one message by a synchronizing literal. */
  async append(mailbox: string, message: Buffer | string): Promise<string> {
    const bytes = Buffer.isBuffer(message) ? message : Buffer.from(message, 'latin1');
    const tag = `t${++this.#tag}`;
    this.send(`${tag} APPEND ${mailbox} {${bytes.length}}\r\n`);
    const first = await this.until(new RegExp(`(^|\\r\\n)(\\+[^\\r\\n]*|${tag} [^\\r\\n]*)\\r\\n`));
    if (!/(^|\r\n)\+[^\r\n]*\r\n$/.test(first)) return first;
    this.#socket.write(bytes);
    this.send('\r\n');
    return this.until(new RegExp(`(^|\\r\\n)${tag} (OK|NO|BAD)[^\\r\\n]*\\r\\n`));
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

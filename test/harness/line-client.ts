/** A client that speaks lines, for what real clients never do: stopping half-way, looking at every line. */
import { once } from 'node:events';
import net from 'node:net';
import tls from 'node:tls';

const waitMs = 10_000;

export class LineClient implements AsyncDisposable {
  #socket: net.Socket;
  #received = '';
  #isEnded = false;
  #wake: () => void = () => undefined;

  private constructor(socket: net.Socket) {
    this.#socket = socket;
    this.#listen();
  }

  /** To a port of loopback; `isTls` from the first byte, without looking at the certificate. */
  static async connect(port: number, isTls = false, options: tls.ConnectionOptions = {}): Promise<LineClient> {
    const socket = isTls
      ? tls.connect({ ...options, host: '127.0.0.1', port, rejectUnauthorized: false })
      : net.connect(port, '127.0.0.1');
    await once(socket, isTls ? 'secureConnect' : 'connect');
    return new LineClient(socket);
  }

  /** Over a connection that has begun already. */
  static over(socket: net.Socket): LineClient {
    return new LineClient(socket);
  }

  /** For what a test needs to know of TLS. */
  get socket(): net.Socket {
    return this.#socket;
  }

  /** Everything that came and was not yet read. */
  get pending(): string {
    return this.#received;
  }

  send(text: string): void {
    this.#socket.write(text, 'latin1');
  }

  /** The first line that matches and is not yet read; those before it are thrown away. */
  async line(pattern: RegExp): Promise<string> {
    const deadline = AbortSignal.timeout(waitMs);
    for (;;) {
      for (let end = this.#received.indexOf('\r\n'); end >= 0; end = this.#received.indexOf('\r\n')) {
        const line = this.#received.slice(0, end);
        this.#received = this.#received.slice(end + 2);
        if (pattern.test(line)) return line;
      }
      if (this.#isEnded) throw new Error(`the connection ended before a line ${pattern.source}`);
      await this.#more(deadline, `no line ${pattern.source}`);
    }
  }

  /** Sends a line and waits for one. */
  async ask(line: string, pattern: RegExp): Promise<string> {
    this.send(`${line}\r\n`);
    return this.line(pattern);
  }

  /** Continues under TLS; the server has said so already. */
  async startTls(): Promise<void> {
    this.#socket.removeAllListeners();
    this.#socket = tls.connect({ socket: this.#socket, rejectUnauthorized: false });
    await once(this.#socket, 'secureConnect');
    this.#listen();
  }

  /** Resolves when the server has ended the connection. */
  async ended(): Promise<void> {
    const deadline = AbortSignal.timeout(waitMs);
    while (!this.#isEnded) await this.#more(deadline, 'the connection did not end');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#socket.destroyed) return;
    const closed = once(this.#socket, 'close');
    this.#socket.destroy();
    await closed;
  }

  #listen(): void {
    const ended = (): void => {
      this.#isEnded = true;
      this.#wake();
    };
    this.#socket.on('data', (chunk: Buffer) => {
      this.#received += chunk.toString('latin1');
      this.#wake();
    });
    this.#socket.on('end', ended);
    this.#socket.on('close', ended);
    this.#socket.on('error', ended);
  }

  async #more(deadline: AbortSignal, failure: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const late = (): void => reject(new Error(`${failure} in ${waitMs} ms; got ${JSON.stringify(this.#received)}`));
      deadline.addEventListener('abort', late, { once: true });
      this.#wake = () => {
        deadline.removeEventListener('abort', late);
        resolve();
      };
      if (deadline.aborted) late();
    });
  }
}

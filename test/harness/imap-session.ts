/** A raw IMAP client for tests that read large responses: over a pipe or a socket. */
import { readFileSync } from 'node:fs';
import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import tls from 'node:tls';

type Peer = {
  /** What is known of a failure, for messages. */
  readonly explain: () => string;
  readonly end: () => Promise<void>;
};

/** Over TLS, logged in. */
export async function imapSessionOverTls(
  service: { readonly ports: { readonly imapTls: number }; readonly certificateFile: string },
  user: { readonly address: string; readonly password: string },
): Promise<ImapSession> {
  const socket = tls.connect({
    host: 'localhost',
    port: service.ports.imapTls,
    ca: readFileSync(service.certificateFile),
  });
  await once(socket, 'secureConnect');
  const session = new ImapSession(socket, socket, {
    explain: () => '',
    async end() {
      socket.destroy();
    },
  });
  await session.greeting();
  await session.command(`LOGIN "${user.address}" "${user.password}"`);
  return session;
}

/** One IMAP connection; answers are whole responses with their literals, as binary strings. */
export class ImapSession implements AsyncDisposable {
  readonly #input: Writable;
  readonly #output: AsyncIterator<Buffer>;
  readonly #peer: Peer;
  #bytes: Buffer = Buffer.alloc(0);
  #tag = 0;

  constructor(input: Writable, output: Readable, peer: Peer) {
    this.#input = input;
    this.#output = output[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
    this.#peer = peer;
    input.on('error', () => undefined); // What the server wrote before it ended says more.
  }

  async greeting(): Promise<void> {
    await this.#response();
  }

  /** Sends a command, its line breaks and literals included; resolves with the untagged responses. Throws unless OK. */
  async command(text: string | Buffer): Promise<readonly string[]> {
    const { untagged, tagged } = await this.exchange(text);
    if (tagged.startsWith('OK')) return untagged;
    throw new Error(`${tagged} ${this.#peer.explain()}`);
  }

  /** The same, whatever the answer is; `tagged` is without its tag. */
  async exchange(text: string | Buffer): Promise<{ readonly untagged: readonly string[]; readonly tagged: string }> {
    const tag = `d${++this.#tag}`;
    this.#input.write(`${tag} `);
    this.#input.write(text);
    this.#input.write('\r\n');
    const untagged: string[] = [];
    for (;;) {
      const response = await this.#response();
      if (response.startsWith(`${tag} `)) return { untagged, tagged: response.slice(tag.length + 1) };
      untagged.push(response);
    }
  }

  /** APPENDs one message by a literal that doesn't wait. */
  async append(mailbox: string, message: Buffer): Promise<void> {
    await this.command(Buffer.concat([Buffer.from(`APPEND ${mailbox} {${message.length}+}\r\n`), message]));
  }

  /** One response without its last CRLF, literals as they stand. */
  async #response(): Promise<string> {
    const pieces: string[] = [];
    for (;;) {
      const line = await this.#line();
      pieces.push(line);
      const literal = /\{(\d+)\}\r\n$/.exec(line);
      if (!literal) return pieces.join('').slice(0, -2);
      pieces.push((await this.#take(Number(literal[1]))).toString('latin1'));
    }
  }

  async #line(): Promise<string> {
    let end: number;
    let from = 0;
    while ((end = this.#bytes.indexOf('\n', from)) < 0) {
      from = this.#bytes.length;
      await this.#more(1);
    }
    return (await this.#take(end + 1)).toString('latin1');
  }

  async #take(count: number): Promise<Buffer> {
    if (this.#bytes.length < count) await this.#more(count - this.#bytes.length);
    const taken = this.#bytes.subarray(0, count);
    this.#bytes = this.#bytes.subarray(count);
    return taken;
  }

  async #more(count: number): Promise<void> {
    const chunks: Buffer[] = [this.#bytes];
    for (let got = 0; got < count;) {
      const next = await this.#output.next();
      if (next.done === true) throw new Error(`the IMAP server ended: ${this.#peer.explain()}`);
      chunks.push(next.value);
      got += next.value.length;
    }
    this.#bytes = Buffer.concat(chunks);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#peer.end();
  }
}

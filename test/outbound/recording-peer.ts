/**
 * A mail server on loopback that takes everything, and knows of each recipient how often its message arrived, and of each
 * domain how many connections it ever had at a time. A connection is its first recipient's domain's, until it is closed.
 */
import net from 'node:net';

export class RecordingPeer implements AsyncDisposable {
  /** How often a message for this address was answered with 250. */
  readonly arrived = new Map<string, number>();
  /** The most connections that a domain had at a time. */
  readonly mostConnections = new Map<string, number>();
  readonly #connections = new Map<string, number>();
  readonly #server: net.Server;
  /** From the final dot to its answer. */
  readonly #answerMs: number;
  readonly #sockets = new Set<net.Socket>();

  private constructor(server: net.Server, answerMs: number) {
    this.#server = server;
    this.#answerMs = answerMs;
  }

  static async start({ answerMs = 0 } = {}): Promise<RecordingPeer> {
    const server = net.createServer();
    const peer = new RecordingPeer(server, answerMs);
    server.on('connection', (socket) => peer.#serve(socket));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return peer;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** Copies beyond the first of each recipient. */
  get duplicates(): ReadonlyMap<string, number> {
    return new Map([...this.arrived].flatMap(([address, count]) => (count > 1 ? [[address, count - 1]] : [])));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: net.Socket): void {
    this.#sockets.add(socket);
    let domain: string | null = null;
    let recipients: string[] = [];
    let isData = false;
    let buffered = '';
    const take = (line: string): string | null => {
      if (isData) {
        if (line !== '.') return null;
        isData = false;
        for (const address of recipients) this.arrived.set(address, (this.arrived.get(address) ?? 0) + 1);
        return '250 2.0.0 taken';
      }
      const verb = line.slice(0, 4).toUpperCase();
      if (verb === 'EHLO') return '250-peer.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES';
      if (verb === 'MAIL' || verb === 'RSET') recipients = [];
      if (verb === 'RCPT') {
        const address = /<([^>]*)>/.exec(line)?.[1] ?? '';
        recipients.push(address);
        domain ??= this.#count(address.slice(address.indexOf('@') + 1));
      }
      isData = verb === 'DATA';
      if (isData) return '354 go ahead';
      return verb === 'QUIT' ? '221 bye' : '250 2.0.0 ok';
    };
    socket.on('data', (chunk) => {
      buffered += chunk.toString('latin1');
      const lines = buffered.split('\r\n');
      buffered = lines.pop() ?? '';
      const answers = lines.flatMap((line) => take(line) ?? []);
      const answer = (): void => {
        if (socket.destroyed) return;
        if (answers.length > 0) socket.write(`${answers.join('\r\n')}\r\n`);
        if (answers.includes('221 bye')) socket.end();
      };
      // Nothing comes meanwhile: the client waits for the answer.
      if (answers.some((each) => each.endsWith('taken'))) setTimeout(answer, this.#answerMs);
      else answer();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#sockets.delete(socket);
      if (domain !== null) this.#connections.set(domain, (this.#connections.get(domain) ?? 1) - 1);
    });
    socket.write('220 peer.test ESMTP\r\n');
  }

  #count(domain: string): string {
    const count = (this.#connections.get(domain) ?? 0) + 1;
    this.#connections.set(domain, count);
    this.mostConnections.set(domain, Math.max(count, this.mostConnections.get(domain) ?? 0));
    return domain;
  }
}

/**
 * A proxy before Postgres that knows where a statement is: it can let a delivery's statement through and hold
 * back the answer, so that a test can kill the server at a moment it chose and not at one it hopes for.
 * It reads the frontend/backend protocol 3.0 (PostgreSQL manual, chapter "Frontend/Backend Protocol").
 */
import net from 'node:net';

export type GateOptions = {
  /** Where Postgres listens: a Unix socket's path. */
  readonly upstreamSocket: string;
  /** Statements to watch, by their SQL text. */
  readonly watch: RegExp;
};

/** `sent`: the whole statement has gone to Postgres. `answered`: Postgres has committed it and said so to us. */
export type GateEvent = 'sent' | 'answered';

export class PostgresGate implements AsyncDisposable {
  readonly #options: GateOptions;
  readonly #server: net.Server;
  readonly #links = new Set<GateLink>();
  readonly #waiting: { readonly event: GateEvent; readonly happened: () => void }[] = [];
  #holding = false;

  private constructor(options: GateOptions) {
    this.#options = options;
    this.#server = net.createServer((client) => this.#accept(client));
  }

  static async open(options: GateOptions): Promise<PostgresGate> {
    const gate = new PostgresGate(options);
    await new Promise<void>((resolve) => gate.#server.listen(0, '127.0.0.1', resolve));
    return gate;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  get isHolding(): boolean {
    return this.#holding;
  }

  /** From now on answers to watched statements stay here, also to one that was sent in this turn. */
  hold(): void {
    this.#holding = true;
  }

  /** Answers flow again, those held back first. */
  release(): void {
    this.#holding = false;
    for (const link of this.#links) link.release();
  }

  /**
   * Calls `happened` at the next such event, in the same turn of the event loop: nothing else of this process
   * runs between the event and the call. Disposing takes the wish back.
   */
  once(event: GateEvent, happened: () => void): Disposable {
    const waiter = { event, happened };
    this.#waiting.push(waiter);
    return {
      [Symbol.dispose]: () => {
        if (this.#waiting.includes(waiter)) this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
      },
    };
  }

  /** Cuts every connection. */
  cut(): void {
    for (const link of this.#links) link.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #accept(client: net.Socket): void {
    const link = new GateLink(client, net.connect(this.#options.upstreamSocket), {
      watch: this.#options.watch,
      isHolding: () => this.#holding,
      happened: (event) => this.#happened(event),
      closed: () => this.#links.delete(link),
    });
    this.#links.add(link);
  }

  #happened(event: GateEvent): void {
    for (const waiter of this.#waiting.filter((one) => one.event === event)) {
      this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
      waiter.happened();
    }
  }
}

type LinkOwner = {
  readonly watch: RegExp;
  readonly isHolding: () => boolean;
  readonly happened: (event: GateEvent) => void;
  readonly closed: () => void;
};

/** One connection through the gate. */
class GateLink {
  readonly #client: net.Socket;
  readonly #upstream: net.Socket;
  readonly #owner: LinkOwner;
  readonly #statements = new Map<string, string>();
  #fromClient = Buffer.alloc(0);
  #fromServer = Buffer.alloc(0);
  #isStarted = false;
  /** A watched statement is bound and waits for Sync, or has been sent and waits for its answer. */
  #watched: 'no' | 'bound' | 'sent' = 'no';
  #held: Buffer[] = [];

  constructor(client: net.Socket, upstream: net.Socket, owner: LinkOwner) {
    this.#client = client;
    this.#upstream = upstream;
    this.#owner = owner;
    client.on('data', (chunk) => this.#hearClient(chunk));
    upstream.on('data', (chunk) => this.#hearServer(chunk));
    client.on('error', () => undefined); // 'close' follows.
    // What the dead server had sent still goes to Postgres, as it would from a kernel's buffer.
    client.on('close', () => upstream.end());
    upstream.on('error', () => undefined);
    upstream.on('close', () => this.destroy());
  }

  destroy(): void {
    this.#client.destroy();
    this.#upstream.destroy();
    this.#owner.closed();
  }

  release(): void {
    for (const chunk of this.#held.splice(0)) this.#client.write(chunk);
  }

  #hearClient(chunk: Buffer): void {
    this.#upstream.write(chunk);
    this.#fromClient = Buffer.concat([this.#fromClient, chunk]);
    for (;;) {
      const head = this.#isStarted ? 1 : 0;
      if (this.#fromClient.length < head + 4) return;
      const end = head + this.#fromClient.readUInt32BE(head);
      if (this.#fromClient.length < end) return;
      const message = this.#fromClient.subarray(0, end);
      this.#fromClient = this.#fromClient.subarray(end);
      if (this.#isStarted) this.#clientMessage(message);
      else this.#isStarted = true;
    }
  }

  #clientMessage(message: Buffer): void {
    const type = String.fromCharCode(message[0] ?? 0);
    const body = message.subarray(5);
    if (type === 'P') {
      const [name = '', sql = ''] = body.toString('latin1').split('\0', 2);
      this.#statements.set(name, sql);
    } else if (type === 'B') {
      const name = body.toString('latin1').split('\0', 2)[1] ?? '';
      if (this.#owner.watch.test(this.#statements.get(name) ?? '')) this.#watched = 'bound';
    } else if (type === 'Q' && this.#owner.watch.test(body.toString('latin1'))) {
      this.#sent();
    } else if (type === 'S' && this.#watched === 'bound') {
      this.#sent();
    }
  }

  #sent(): void {
    this.#watched = 'sent';
    this.#owner.happened('sent');
  }

  #hearServer(chunk: Buffer): void {
    const holds = this.#watched === 'sent' && this.#owner.isHolding();
    if (holds || this.#held.length > 0) this.#held.push(chunk);
    else this.#client.write(chunk);
    if (this.#watched === 'sent') this.#watchAnswer(chunk);
    else this.#fromServer = Buffer.alloc(0);
  }

  #watchAnswer(chunk: Buffer): void {
    this.#fromServer = Buffer.concat([this.#fromServer, chunk]);
    for (;;) {
      if (this.#fromServer.length < 5) return;
      const end = 1 + this.#fromServer.readUInt32BE(1);
      if (this.#fromServer.length < end) return;
      const isReady = this.#fromServer[0] === 0x5a; // ReadyForQuery
      this.#fromServer = this.#fromServer.subarray(end);
      if (!isReady) continue;
      this.#watched = 'no';
      this.#fromServer = Buffer.alloc(0);
      this.#owner.happened('answered');
      return;
    }
  }
}

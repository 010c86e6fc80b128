/** Our server as `make run` starts it: the real program, its own Postgres with fsync on, manifests in a folder. */
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { createDatabase } from '#shared/db/client.ts';
import { findWaiting, worthwhile, worthwhileAtRest } from '#server/store/pg-search-queue.ts';
import { freePorts } from '../../harness/ports.ts';
import { Child } from './child.ts';
import { addressOf, domain, password, users, type MailServer, type Sending, type ServerName } from './mail-server.ts';
import type { Certificate } from './certificate.ts';
import { DelayProxy } from './delay-proxy.ts';
import { sinkDomainEnd, type SinkPorts } from './sinks.ts';

export type PostriderOptions = {
  readonly folder: string;
  readonly certificate: Certificate;
  /** Arguments of node, for profiles. */
  readonly nodeArgs?: readonly string[];
  /** Another Postrider's database, to be a second process of the same service. */
  readonly databaseUrl?: string;
  /** Stands before that database. */
  readonly proxy?: DelayProxy;
  /** Where what users hand in goes to. */
  readonly sinks?: SinkPorts | undefined;
};

/** Development mode takes logins without TLS, which production refuses, and asks for no password. */
export type Mode = 'production' | 'development';

/** Who hands in what goes out. */
const sender = 'user0';
/** A million messages take two minutes or so. */
const maxSettleMs = 600_000;

type Ports = {
  readonly smtp: number;
  readonly submissions: number;
  readonly imap: number;
  readonly imaps: number;
  readonly http: number;
};

export class Postrider implements MailServer {
  readonly name: ServerName;
  readonly sharesMailboxesOf: ServerName = 'postrider';
  readonly description = 'the program of this checkout, run --local, one process, embedded Postgres 18, fsync on';
  readonly #options: PostriderOptions;
  readonly #ports: Ports;
  #child: Child;
  #mode: Mode;

  private constructor(options: PostriderOptions, ports: Ports, mode: Mode) {
    this.#options = options;
    this.name = options.proxy ? 'postrider-1ms' : 'postrider';
    this.#ports = ports;
    this.#mode = mode;
    this.#child = this.#spawn();
  }

  static async start(options: PostriderOptions, mode: Mode = 'production'): Promise<Postrider> {
    const manifests = path.join(options.folder, 'manifests');
    await mkdir(manifests, { recursive: true });
    await writeFile(path.join(manifests, 'bench.yaml'), manifestsText(options.sinks));
    const [smtp, submissions, imap, imaps, http] = (await freePorts(5)) as [number, number, number, number, number];
    const server = new Postrider(options, { smtp, submissions, imap, imaps, http }, mode);
    await server.#ready();
    return server;
  }

  get smtpPort(): number {
    return this.#ports.smtp;
  }

  get imapPort(): number {
    return this.#ports.imap;
  }

  get imapTlsPort(): number {
    return this.#ports.imaps;
  }

  get sending(): Sending {
    const { sinks } = this.#options;
    if (sinks === undefined) throw new Error('it was started without sinks');
    return { port: this.#ports.submissions, login: { user: addressOf(sender), password }, sinks };
  }

  get databaseUrl(): string {
    const socket = path.join(this.#options.folder, 'data', 'run');
    return this.#options.databaseUrl ?? `postgresql://postrider@localhost/postrider?host=${encodeURIComponent(socket)}`;
  }

  /** A second process on the same database. */
  async startSecond(folder: string): Promise<Postrider> {
    return Postrider.start({ ...this.#options, folder, databaseUrl: this.databaseUrl }, this.#mode);
  }

  /** A second process whose database is `delayMs` away, each way. */
  async startFar(folder: string, delayMs: number): Promise<Postrider> {
    await using stack = new AsyncDisposableStack();
    const proxy = stack.use(await DelayProxy.start(this.databaseUrl, delayMs));
    const far = await Postrider.start({ ...this.#options, folder, databaseUrl: this.databaseUrl, proxy }, this.#mode);
    stack.move();
    return far;
  }

  roundTrips(): Promise<number> | null {
    return this.#options.proxy?.roundTrips() ?? null;
  }

  get databaseLogFile(): string {
    return path.join(this.#options.folder, 'data', 'postgres.log');
  }

  /** Starts it anew where it is in another mode, or ended. */
  async useMode(mode: Mode): Promise<void> {
    if (mode === this.#mode && this.#child.isRunning) return;
    this.#mode = mode;
    await this.restart();
  }

  roots(): readonly number[] {
    return [this.#child.pid];
  }

  /** Bytes of the JavaScript heap in use. */
  async heapBytes(): Promise<number> {
    const metrics = await (await fetch(`http://127.0.0.1:${this.#ports.http}/metrics`)).text();
    return Number(/^nodejs_heap_size_used_bytes (\S+)/m.exec(metrics)?.[1] ?? Number.NaN);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.signal(name);
  }

  loginName(user: string): string {
    return addressOf(user);
  }

  /** 250 comes after the commit that puts the message into the mailbox. What is left then is the search index. */
  settled(): Promise<void> {
    return this.#indexed(worthwhile);
  }

  /** Searched some seconds after mail came, and not at once: the little that is left is indexed too. */
  rested(): Promise<void> {
    return this.#indexed(worthwhileAtRest);
  }

  mark(): Promise<void> {
    return Promise.resolve();
  }

  async restart(): Promise<void> {
    await this.#child.stop();
    this.#child = this.#spawn();
    await this.#ready();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.stop();
    await this.#options.proxy?.[Symbol.asyncDispose]();
  }

  async #indexed(enough: typeof worthwhile | typeof worthwhileAtRest): Promise<void> {
    await using database = createDatabase({ url: this.databaseUrl, maxConnections: 1 });
    const deadline = performance.now() + maxSettleMs;
    while ((await findWaiting(database.db, null, enough)).length > 0) {
      if (performance.now() > deadline) throw new Error('the search index is not filled');
      await sleep(50);
    }
  }

  #spawn(): Child {
    const { folder, certificate, nodeArgs = [], databaseUrl, proxy, sinks } = this.#options;
    return new Child({
      file: process.execPath,
      args: [...nodeArgs, 'cli/postrider.ts', 'run', '--local'],
      logFile: path.join(folder, 'postrider.log'),
      env: {
        DATA_DIR: path.join(folder, 'data'),
        MANIFESTS_DIR: path.join(folder, 'manifests'),
        SSL_CERT_FILE: certificate.certificateFile,
        SSL_KEY_FILE: certificate.keyFile,
        SMTP_RECEIVE_PORT: String(this.#ports.smtp),
        SMTP_RECEIVE_SSL_PORT: sinks === undefined ? 'off' : String(this.#ports.submissions),
        SUBMISSION_PORT: 'off',
        IMAP_PORT: String(this.#ports.imap),
        IMAP_SSL_PORT: String(this.#ports.imaps),
        HTTP_PORT: String(this.#ports.http),
        MAIL_HOSTNAME: 'mail.bench.test',
        MAX_CONNECTIONS: '20000',
        DEVELOPMENT_MODE: String(this.#mode === 'development'),
        ...(sinks !== undefined && { DNS_SERVERS: `127.0.0.1:${sinks.dnsPort}` }),
        ...(databaseUrl !== undefined && {
          DATABASE_URL: proxy?.url ?? databaseUrl,
          KEYRING_FILE: path.join(folder, '..', 'postrider', 'data', 'keyring'),
        }),
      },
    });
  }

  #ready(): Promise<void> {
    return this.#child.ready(() =>
      fetch(`http://127.0.0.1:${this.#ports.http}/readyz`).then(
        async (response) => {
          await response.arrayBuffer();
          return response.status === 200;
        },
        () => false, // Not listening yet.
      ),
    );
  }
}

function manifestsText(sinks: SinkPorts | undefined): string {
  const head = `apiVersion: postrider.dev/v1alpha1
kind: MailDomain
metadata: {name: bench-test}
spec: {domain: ${domain}}
---
apiVersion: v1
kind: Secret
metadata: {name: bench-password}
stringData: {password: ${password}}
`;
  const mailboxes = users.map(
    (user) => `---
apiVersion: postrider.dev/v1alpha1
kind: Mailbox
metadata: {name: ${user}}
spec: {address: ${addressOf(user)}, password: {mode: SecretRef, secretRef: {name: bench-password}}}
`,
  );
  return head + mailboxes.join('') + (sinks === undefined ? '' : routeText(sinks));
}

/** By MX, as everywhere; but these are on this machine, and not at port 25. */
function routeText({ port }: SinkPorts): string {
  return `---
apiVersion: postrider.dev/v1alpha1
kind: MailRoute
metadata: {name: sinks}
spec:
  match: {recipientDomains: ['*${sinkDomainEnd}']}
  targets: [{type: Direct, port: ${port}, allowedNetworks: [127.0.1.0/24]}]
  limits: {maxConnections: 20}
`;
}

/** A listener with a store in memory, and a client that says exactly what a test wants said. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect as connectTls } from 'node:tls';
import { systemClock } from '#shared/base/clock.ts';
import type { AccountId } from '#shared/base/ids.ts';
import { createLogger } from '#shared/observe/logger.ts';
import { createMetrics, type Metrics } from '#shared/observe/metrics.ts';
import type { InboundReports } from '#server/bounce/inbound-reports.ts';
import type { Submission } from '#server/submission/submit.ts';
import { noFurtherMechanisms, type Authenticator } from '#server/accounts/authenticator.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { MailStore, RecipientDirectory } from '#server/mail/ports.ts';
import { MessageScanner } from '#server/mime/message-scanner.ts';
import { MemoryMailStore } from '#server/store/memory-mail-store.ts';
import { makeSelfSigned } from '#server/tls/self-signed.ts';
import { SpoolArea } from '#server/wire/spool.ts';
import { TlsContext } from '#server/wire/tls-context.ts';
import { createSmtpListener, type SmtpListener } from '#server/smtp/smtp-listener.ts';
import { defaultSmtpOptions, type SmtpOptions } from '#server/smtp/smtp-options.ts';

export type Bench = AsyncDisposable & {
  readonly listener: SmtpListener;
  readonly store: MemoryMailStore;
  readonly spools: SpoolArea;
  readonly metrics: Metrics;
  readonly tls: TlsContext;
  readonly alice: AccountId;
  readonly bob: AccountId;
  /** What the log says, a line an entry. */
  readonly log: readonly Record<string, unknown>[];
  dial(): Promise<SmtpClient>;
  /** The messages in an account's INBOX, trace fields included. */
  inbox(account: AccountId): Promise<readonly string[]>;
};

export type BenchOverrides = {
  readonly options?: Partial<SmtpOptions>;
  /** Wraps the store the listener is given. */
  readonly store?: (store: MemoryMailStore) => MailStore;
  readonly directory?: Partial<RecipientDirectory>;
  readonly maxSpoolMemoryBytes?: number;
  readonly submission?: Submission;
  readonly reports?: InboundReports;
};

const password = 'correct horse';

export async function openBench(overrides: BenchOverrides = {}): Promise<Bench> {
  const directory = await mkdtemp(path.join(tmpdir(), 'smtp-bench-'));
  const store = new MemoryMailStore();
  const [alice, bob] = [store.createAccount(), store.createAccount()];
  const log: Record<string, unknown>[] = [];
  const metrics = createMetrics();
  const tls = new TlsContext(await makeSelfSigned(['mx.home.test', '127.0.0.1'], new Date()));
  const spools = await SpoolArea.open({
    directory: path.join(directory, 'spool'),
    maxMemoryBytes: overrides.maxSpoolMemoryBytes ?? 64 * 1024 * 1024,
    createIndexer: () => new MessageScanner(),
  });
  const listener = createSmtpListener(
    {
      ...defaultSmtpOptions,
      name: overrides.options?.kind ?? 'mx',
      kind: 'mx',
      tls: 'starttls',
      host: '127.0.0.1',
      port: 0,
      hostname: 'mx.home.test',
      postmaster: 'alice@home.test',
      ...overrides.options,
    },
    {
      store: overrides.store?.(store) ?? store,
      spools,
      clock: systemClock,
      metrics,
      tls,
      logger: createLogger({
        level: 'debug',
        format: 'json',
        write: (line) => log.push(JSON.parse(line) as Record<string, unknown>),
      }),
      directory: { ...directoryOf(alice, bob), ...overrides.directory },
      authenticator: authenticatorOf(alice),
      submission: overrides.submission ?? null,
      acceptor: { accept: () => Promise.reject(new Error('no alias here sends on')) },
      reports: overrides.reports ?? null,
      sealer: null,
    },
  );
  await listener.start();
  const isImplicit = overrides.options?.tls === 'implicit';
  return {
    listener,
    store,
    spools,
    metrics,
    tls,
    alice,
    bob,
    log,
    dial: () => SmtpClient.dial(listener.port, isImplicit),
    inbox: (account) => inboxOf(store, account),
    async [Symbol.asyncDispose]() {
      await listener.stop(0);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function directoryOf(alice: AccountId, bob: AccountId): RecipientDirectory {
  const aliceAccount = { accountId: alice, address: 'alice@home.test' };
  const bobAccount = { accountId: bob, address: 'bob@home.test' };
  return {
    async resolveRecipient(address, declaredBytes) {
      switch (address) {
        case 'alice@home.test':
        case 'alice+news@home.test':
          return { kind: 'local', accounts: [aliceAccount], forwards: [] };
        case 'bob@home.test':
        case 'jörg@home.test':
          return { kind: 'local', accounts: [bobAccount], forwards: [] };
        case 'team@home.test':
          return { kind: 'local', accounts: [aliceAccount, bobAccount], forwards: [] };
        case 'full@home.test':
          return { kind: 'over-quota' };
        case 'small@home.test':
          return declaredBytes > 1000
            ? { kind: 'over-quota' }
            : { kind: 'local', accounts: [bobAccount], forwards: [] };
        case 'gone@home.test':
          return { kind: 'suspended' };
        case 'later@home.test':
          throw new MailError({ kind: 'unavailable' });
        case 'broken@home.test':
          throw new TypeError('a bug');
        default:
          return address.endsWith('@home.test') ? { kind: 'unknown' } : { kind: 'remote' };
      }
    },
    credentialMaySendAs: () => Promise.resolve(false),
    expectRecipients: () => undefined,
    findPostmaster: async () => null,
    maySendAs: async (accountId, address) => accountId === alice && address === 'alice@home.test',
  };
}

function authenticatorOf(alice: AccountId): Authenticator {
  return {
    further: noFurtherMechanisms,
    async authenticate(attempt) {
      if (attempt.login === 'later@home.test') throw new MailError({ kind: 'unavailable' });
      if (attempt.login !== 'alice@home.test') return { ok: false, reason: 'no-such-account' };
      if (attempt.password !== password) return { ok: false, reason: 'wrong-password' };
      return { ok: true, accountId: alice, address: 'alice@home.test' };
    },
  };
}

async function inboxOf(store: MailStore, account: AccountId): Promise<readonly string[]> {
  const inbox = await store.findMailbox(account, 'INBOX');
  if (inbox === null) return [];
  const messages: string[] = [];
  for await (const batch of store.fetch(account, inbox.id, [[1, 2 ** 31]] as never, { content: true })) {
    for (const { content } of batch) {
      if (content === undefined) continue;
      const chunks = [content.prefix];
      for await (const chunk of content.read(0, content.rawSize)) chunks.push(chunk);
      messages.push(Buffer.concat(chunks).toString('latin1'));
    }
  }
  return messages;
}

/** `AUTH PLAIN` of alice; another password may be given. */
export function authPlain(login = 'alice@home.test', secret = password): string {
  return `AUTH PLAIN ${Buffer.from(`\0${login}\0${secret}`).toString('base64')}`;
}

/** Sends what it is told and hands out replies one at a time. */
export class SmtpClient implements Disposable {
  #socket: Socket;
  #text = '';
  #wake: (() => void) | null = null;
  #isClosed = false;

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen(socket);
  }

  static async dial(port: number, implicitTls: boolean): Promise<SmtpClient> {
    const socket = implicitTls
      ? connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, servername: 'mx.home.test' })
      : connect({ port, host: '127.0.0.1' });
    socket.setNoDelay(true);
    const client = new SmtpClient(socket);
    await once(socket, implicitTls ? 'secureConnect' : 'connect');
    return client;
  }

  /** The next reply, its lines joined by "|"; `closed` when the server has hung up. */
  async reply(): Promise<string> {
    for (;;) {
      const end = /^\d{3}(?: .*)?\r\n/m.exec(this.#text);
      if (end) {
        const whole = this.#text.slice(0, end.index + end[0].length);
        this.#text = this.#text.slice(whole.length);
        return whole.trimEnd().replaceAll('\r\n', '|');
      }
      if (this.#isClosed) return 'closed';
      await new Promise<void>((resolve) => (this.#wake = resolve));
      this.#wake = null;
    }
  }

  write(bytes: string | Buffer): void {
    this.#socket.write(bytes);
  }

  /** Writes `line` and CRLF; resolves with the reply. */
  say(line: string): Promise<string> {
    this.write(`${line}\r\n`);
    return this.reply();
  }

  /** Greeting, EHLO, MAIL and RCPTs, each of which must be accepted. */
  async begin(...recipients: readonly string[]): Promise<void> {
    await expectCode(this.reply(), '220');
    await expectCode(this.say('EHLO client.test'), '250');
    await this.envelope(...recipients);
  }

  async envelope(...recipients: readonly string[]): Promise<void> {
    await expectCode(this.say('MAIL FROM:<ann@sender.test>'), '250');
    for (const recipient of recipients) await expectCode(this.say(`RCPT TO:<${recipient}>`), '250');
  }

  /** DATA with bytes as given and CRLF "." CRLF; resolves with the last reply. */
  async data(message: string | Buffer): Promise<string> {
    await expectCode(this.say('DATA'), '354');
    this.write(message);
    return this.say('.');
  }

  async startTls(): Promise<void> {
    await expectCode(this.say('STARTTLS'), '220');
    await this.handshake();
  }

  async handshake(): Promise<void> {
    this.#socket.removeAllListeners('data');
    const secure = connectTls({ socket: this.#socket, rejectUnauthorized: false });
    await once(secure, 'secureConnect');
    this.#socket = secure;
    this.#listen(secure);
  }

  get socket(): Socket {
    return this.#socket;
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  #listen(socket: Socket): void {
    socket.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('utf8');
      this.#wake?.();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.#isClosed = true;
      this.#wake?.();
    });
  }
}

async function expectCode(reply: Promise<string>, code: string): Promise<void> {
  const got = await reply;
  if (!got.startsWith(code)) throw new Error(`wanted ${code}, got ${got}`);
}

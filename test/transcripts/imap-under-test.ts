/** An IMAP server on a store, with one account whose mailboxes a transcript knows. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { systemClock } from '#shared/base/clock.ts';
import type { AccountId } from '#shared/base/ids.ts';
import { createMetrics } from '#shared/observe/metrics.ts';
import { createLogger } from '#shared/observe/logger.ts';
import { noFurtherMechanisms, type Authenticator } from '#server/accounts/authenticator.ts';
import { ImapListener } from '#server/imap/session/imap-listener.ts';
import { defaultImapPolicy, type ImapPolicy, type ImapServices } from '#server/imap/state/services.ts';
import { MailError, type MailFault } from '#server/mail/mail-error.ts';
import type { MailStore } from '#server/mail/ports.ts';
import { MessageScanner } from '#server/mime/message-scanner.ts';
import { makeSelfSigned } from '#server/tls/self-signed.ts';
import { SpoolArea } from '#server/wire/spool.ts';
import { TlsContext, type TlsMaterial } from '#server/wire/tls-context.ts';
import type { StoreUnderTest } from '../contracts/store-under-test.ts';
import { spooled } from '../harness/message.ts';
import type { FixtureMessage } from './fixtures.ts';

export const login = 'bob@example.net';
export const password = 'secret';

let material: Promise<TlsMaterial> | null = null;

type Folder = { readonly spoolDirectory: string };

export class ImapUnderTest implements AsyncDisposable {
  readonly listener: ImapListener;
  readonly accountId: AccountId;
  readonly store: FaultyStore;
  /** What the server logged as a fault of its own. */
  readonly failures: readonly string[];
  readonly #spoolDirectory: string;

  private constructor(parts: Pick<ImapUnderTest, 'listener' | 'accountId' | 'store' | 'failures'> & Folder) {
    this.listener = parts.listener;
    this.accountId = parts.accountId;
    this.store = parts.store;
    this.failures = parts.failures;
    this.#spoolDirectory = parts.spoolDirectory;
  }

  static async open(
    backend: StoreUnderTest,
    options: {
      readonly policy: Partial<ImapPolicy>;
      readonly implicitTls: boolean;
      readonly quotaBytes: number | null;
      /** One that is there already; else one is made. */
      readonly accountId?: AccountId;
    },
  ): Promise<ImapUnderTest> {
    const accountId = options.accountId ?? (await backend.createAccount({ limitBytes: options.quotaBytes }));
    const store = new FaultyStore(backend.store);
    const failures: string[] = [];
    const spoolDirectory = await mkdtemp(path.join(tmpdir(), 'imap-transcript-'));
    const spools = await SpoolArea.open({
      directory: path.join(spoolDirectory, 'spool'),
      maxMemoryBytes: 16 * 1024 * 1024,
      createIndexer: () => new MessageScanner(),
    });
    material ??= makeSelfSigned(['localhost'], new Date());
    const services: ImapServices = {
      store: store.port,
      feed: backend.feed,
      authenticator: onlyBob(accountId),
      tls: new TlsContext(await material),
      createSpool: (maxBytes) => spools.createSpool(maxBytes),
      logger: createLogger({ level: 'error', format: 'json', write: (line) => failures.push(line) }),
      metrics: createMetrics(),
      clock: systemClock,
      policy: { ...defaultImapPolicy, failedLoginDelayMs: 1, ...options.policy },
    };
    const listener = await ImapListener.open(services, {
      host: '127.0.0.1',
      port: 0,
      implicitTls: options.implicitTls,
      maxConnections: 20,
      maxConnectionsPerAddress: 20,
    });
    return new ImapUnderTest({ listener, accountId, store, failures, spoolDirectory });
  }

  async put(messages: readonly FixtureMessage[]): Promise<void> {
    const inbox = await this.store.port.findMailbox(this.accountId, 'INBOX');
    if (inbox === null) throw new Error('the account has no INBOX');
    for (const { raw, flags = 0, keywords = [], internalDate } of messages) {
      await using message = await spooled(raw);
      const date = internalDate === undefined ? null : new Date(internalDate);
      await this.store.port.append(this.accountId, inbox.id, [{ message, flags, keywords, internalDate: date }]);
    }
  }

  /** As SMTP does it. */
  async deliver(raw: string, prefix: string): Promise<void> {
    await using message = await spooled(raw);
    const { accountId } = this;
    await this.store.port.deliver(message, [
      { accountId, mailboxId: null, prefix: Buffer.from(prefix), flags: 0, keywords: [] },
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.listener.close(2_000);
    await rm(this.#spoolDirectory, { recursive: true, force: true });
  }
}

function onlyBob(accountId: AccountId): Authenticator {
  return {
    further: noFurtherMechanisms,
    authenticate: (attempt) => {
      if (attempt.login.toLowerCase() === 'down@example.net') {
        return Promise.reject(new MailError({ kind: 'unavailable' }));
      }
      const isBob = attempt.login.toLowerCase() === login && attempt.password === password;
      return Promise.resolve(isBob ? { ok: true, accountId, address: login } : { ok: false, reason: 'wrong-password' });
    },
  };
}

/** A store that refuses, or breaks, on demand. */
export class FaultyStore {
  readonly port: MailStore;
  /** Refuses what writes. */
  writeFault: MailFault | null = null;
  /** Refuses everything. */
  fault: MailFault | null = null;
  isBroken = false;

  constructor(store: MailStore) {
    const writes = new Set<string | symbol>([
      'append',
      'createMailbox',
      'storeFlags',
      'copy',
      'move',
      'expunge',
      'claimRecent',
    ]);
    this.port = new Proxy(store, {
      get: (target, name) => {
        const method: unknown = Reflect.get(target, name, target);
        if (typeof method !== 'function') return method;
        return (...args: unknown[]): unknown => {
          const fault = this.fault ?? (writes.has(name) ? this.writeFault : null);
          const failure = fault ? new MailError(fault) : this.isBroken ? new TypeError('x is not a function') : null;
          if (failure !== null) return name === 'fetch' ? failing(failure) : Promise.reject(failure);
          return Reflect.apply(method, target, args) as unknown;
        };
      },
    });
  }
}

function failing(failure: Error): AsyncIterable<never> {
  return { [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(failure) }) };
}

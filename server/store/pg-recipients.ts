/**
 * Reads what recipients' addresses may lead to. Addresses that are asked for at the same time, by any sessions, share a
 * query, and while one is under way the next are collected: a round trip costs more than a look-up. What `expect` read
 * ahead is kept for its command, and where the maker wants it, for a moment, that an account takes mail: who was accepted
 * just before could send as well. Nothing else is kept beyond the answer.
 */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { isConnectionLoss } from '#shared/db/pg-error.ts';
import type { MailAddress } from '#shared/text/address.ts';
import { MailError } from '#server/mail/mail-error.ts';
import { directoryFault } from './directory-fault.ts';
import { KeptConnection } from './kept-connection.ts';
import { collectFacts, factsOfAccount, recipientAccounts, recipientFacts } from './pg-recipient-facts.ts';
import type { AccountRow, FactRow, RecipientFacts } from './pg-recipient-facts.ts';

type Asked = { readonly address: MailAddress; readonly settle: PromiseWithResolvers<RecipientFacts> };

const maxBatch = 500;
/** From the beginning of a query to that of the next: while many ask, more of them share one. */
const paceMs = 2;
/** For so long what was read ahead may wait for its command; then it is read anew. */
const aheadMs = 1000;
const maxAhead = 5000;
const maxKept = 5000;
/** Room that an account with a quota must have, so that all that comes while its answer is kept does not fill it. */
const keptRoomBytes = 64n * 1024n * 1024n;

const answerTimeoutMs = 20_000;
const settings = {
  statement_timeout: '15000',
  // The arrays' lengths vary, the plan must not: always by index, one address after the other.
  plan_cache_mode: 'force_generic_plan',
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  jit: 'off',
};

export class RecipientReader implements AsyncDisposable {
  readonly #connection: KeptConnection;
  /** Those that the next query asks for, by address. */
  #waiting = new Map<string, Asked>();
  #isRunning = false;
  #beganAt = -Infinity;
  /** Addresses that the last query asked for. */
  #asked = 0;
  readonly #keepMs: number;
  /** Oldest first. */
  readonly #kept = new Map<string, { readonly at: number; readonly facts: RecipientFacts }>();
  readonly #ahead = new Map<string, { readonly at: number; readonly facts: Promise<RecipientFacts> }>();

  /** `keepMs`: how long an account's readiness is remembered. */
  constructor(database: PostgresDatabase, keepMs = 0) {
    this.#keepMs = keepMs;
    this.#connection = new KeptConnection(database, 'directory', settings);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#connection[Symbol.asyncDispose]();
  }

  /** Takes a canonical address. MailError unavailable: the directory can't be read. */
  read(address: MailAddress): Promise<RecipientFacts> {
    const key = keyOf(address);
    const ahead = this.#ahead.get(key);
    if (ahead !== undefined) {
      this.#ahead.delete(key);
      if (performance.now() - ahead.at < aheadMs) return ahead.facts;
    }
    return this.#ask(key, address);
  }

  /** As `read`, or what was found a moment ago. */
  async readReady(address: MailAddress): Promise<RecipientFacts> {
    const key = keyOf(address);
    const kept = this.#keptOf(key, this.#keepMs);
    // What was read ahead for this would be old when somebody else comes.
    if (kept !== null) this.#ahead.delete(key);
    return kept ?? this.read(address);
  }

  #keptOf(key: string, ms: number): RecipientFacts | null {
    const kept = this.#kept.get(key);
    return kept !== undefined && performance.now() - kept.at < ms ? kept.facts : null;
  }

  /** Canonical addresses that will be read at once, one after the other: reads them now, together. */
  expect(addresses: readonly MailAddress[]): void {
    const at = performance.now();
    for (const [key, ahead] of this.#ahead) {
      // In the order of their times.
      if (at - ahead.at < aheadMs) break;
      this.#ahead.delete(key);
    }
    for (const address of addresses) {
      const key = keyOf(address);
      if (this.#ahead.has(key) || this.#ahead.size >= maxAhead) continue;
      // Not what may be too old when its turn has come.
      if (this.#keptOf(key, this.#keepMs / 2) !== null) continue;
      const facts = this.#ask(key, address);
      // Whoever reads it hears the error; perhaps nobody does.
      facts.catch(() => undefined);
      this.#ahead.set(key, { at, facts });
    }
  }

  #ask(key: string, address: MailAddress): Promise<RecipientFacts> {
    const waiting = this.#waiting.get(key);
    if (waiting) return waiting.settle.promise;
    const settle = Promise.withResolvers<RecipientFacts>();
    this.#waiting.set(key, { address, settle });
    if (!this.#isRunning) {
      this.#isRunning = true;
      void this.#run();
    }
    return settle.promise;
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    while (this.#waiting.size > 0) {
      await this.#gather();
      const asked = [...this.#waiting.values()].slice(0, maxBatch);
      if (asked.length === this.#waiting.size) this.#waiting = new Map();
      else for (const { address } of asked) this.#waiting.delete(keyOf(address));
      await this.#answer(asked);
    }
    this.#isRunning = false;
  }

  /** What is asked in the same turn of the event loop goes together, and where several ask again and again, a little more. */
  async #gather(): Promise<void> {
    const since = performance.now() - this.#beganAt;
    await (since < paceMs && this.#asked > 1 ? sleep(paceMs - since) : nextTurn());
    this.#beganAt = performance.now();
  }

  async #answer(asked: readonly Asked[]): Promise<void> {
    try {
      const facts = await this.#read(asked.map(({ address }) => address));
      for (const [i, { settle }] of asked.entries()) settle.resolve(facts[i] as RecipientFacts);
    } catch (error) {
      const fault = directoryFault(error);
      if (fault instanceof MailError || asked.length === 1) {
        for (const { settle } of asked) settle.reject(fault);
        return;
      }
      // One of them can't be looked up, and must not take its neighbours with it.
      for (const one of asked) await this.#answer([one]);
    }
  }

  async #read(addresses: readonly MailAddress[]): Promise<readonly RecipientFacts[]> {
    const at = performance.now();
    this.#asked = addresses.length;
    const direct = new Map<number, AccountRow>();
    for (const row of await this.#query<AccountRow>(recipientAccounts(addresses))) direct.set(row.asked, row);
    const others = addresses.filter((_, i) => !direct.has(i + 1));
    const rows = others.length === 0 ? [] : await this.#query<FactRow>(recipientFacts(others));
    const byAsked = Map.groupBy(rows, ({ asked }) => asked);
    let place = 0;
    return addresses.map((address, i) => {
      const row = direct.get(i + 1);
      if (row === undefined) return collectFacts(address, byAsked.get(++place) ?? []);
      const facts = factsOfAccount(address, row);
      if (this.#keepMs > 0 && isReady(row)) this.#keep(keyOf(address), at, facts);
      return facts;
    });
  }

  #keep(key: string, at: number, facts: RecipientFacts): void {
    for (const [oldest, kept] of this.#kept) {
      if (this.#kept.size < maxKept && at - kept.at < this.#keepMs) break;
      this.#kept.delete(oldest);
    }
    this.#kept.delete(key);
    this.#kept.set(key, { at, facts });
  }

  async #query<Row extends pg.QueryResultRow>(query: pg.QueryConfig): Promise<readonly Row[]> {
    for (let attempt = 1; ; attempt++) {
      const client = await this.#connection.get();
      try {
        return (await client.query<Row>({ ...query, query_timeout: answerTimeoutMs } as pg.QueryConfig)).rows;
      } catch (error) {
        if (!isConnectionLoss(error)) throw error;
        this.#connection.drop(client);
        // It may have been lost while nobody used it.
        if (attempt === 2) throw error;
      }
    }
  }
}

/** Takes mail now, and will have room for what comes in the next moment. */
function isReady({ retained, account_suspended, domain_suspended, quota_bytes, used_bytes }: AccountRow): boolean {
  if (retained || account_suspended || domain_suspended) return false;
  return quota_bytes === null || (used_bytes ?? 0n) + keptRoomBytes <= quota_bytes;
}

function keyOf({ localPart, domain }: MailAddress): string {
  return `${localPart}@${domain}`;
}

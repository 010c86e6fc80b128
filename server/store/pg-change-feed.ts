/**
 * Who is told of changes, in this process and in others. Inside the process at once; others by a NOTIFY, the
 * first of a burst at once and then one each `gapMs`, unless another account's goes earlier and takes it along. A hint can be lost with a
 * connection, so after each reconnect, and slowly always, the accounts with listeners are compared with the database.
 */
import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import type { AccountId, MailboxId, ModSeq } from '#shared/base/ids.ts';
import type { PostgresDatabase } from '#shared/db/client.ts';
import { listen, maxPayloadBytes, Notifier } from '#shared/db/listen.ts';
import type { ChangeFeed, ChangeHint } from '#server/mail/ports.ts';
import { int8Array } from './binary-array.ts';
import type { StoreMetrics } from './store-metrics.ts';

const channel = 'postrider_change';
const gapMs = 20;
/** Between two notifications, for all accounts together: what comes meanwhile goes in one. */
const restMs = 10;
/** After notifications that could not be sent. */
const retryMs = 1000;
const defaultSweepMs = 30_000;
/** Mailboxes named in one hint to other processes; the rest is found by a sweep there. */
const maxMailboxesPerHint = 300;

export type PgChangeFeedOptions = {
  readonly database: PostgresDatabase;
  readonly sweepMs?: number;
  readonly onError?: (error: unknown) => void;
  readonly metrics?: StoreMetrics;
};

type Audience = {
  readonly listeners: Set<(hint: ChangeHint) => void>;
  /**
   * The account's modseq at the last sweep; 0: not known yet. Not that of the last hint: an earlier one may have been
   * lost, and the sweep after it must find what it told of.
   */
  swept: number;
};

/** [sender, [account, modseq, [mailbox, …]] …], ids as text: JSON numbers are too short for int8. */
type Payload = readonly [sender: string, ...changes: (readonly [string, number, readonly string[]])[]];

export class PgChangeFeed implements ChangeFeed, AsyncDisposable {
  readonly #database: PostgresDatabase;
  readonly #onError: (error: unknown) => void;
  readonly #metrics: StoreMetrics | null;
  readonly #audiences = new Map<AccountId, Audience>();
  readonly #notifier: Notifier;
  readonly #listening: AsyncDisposable;
  readonly #sweeper: NodeJS.Timeout;
  readonly #sender = randomUUID().slice(0, 8);
  /** What other processes have not been told yet. */
  readonly #pending = new Map<AccountId, { modSeq: number; readonly mailboxIds: Set<MailboxId> }>();
  /** Accounts told of lately, and until when they wait. */
  readonly #quietUntil = new Map<AccountId, number>();
  #sending: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;
  #timerAt = 0;
  #restUntil = 0;
  #sweeping: Promise<void> | null = null;
  #isClosed = false;

  constructor({ database, sweepMs = defaultSweepMs, onError = () => undefined, metrics }: PgChangeFeedOptions) {
    this.#database = database;
    this.#metrics = metrics ?? null;
    this.#onError = onError;
    this.#notifier = new Notifier(database, channel);
    this.#listening = listen({
      database,
      channel,
      listener: { heard: (payload) => this.#hear(payload), gap: () => this.#sweepSoon() },
      onError,
    });
    this.#sweeper = setInterval(() => this.#sweepSoon(), sweepMs).unref();
  }

  subscribe(accountId: AccountId, heard: (hint: ChangeHint) => void): Disposable {
    const audience = this.#audiences.get(accountId) ?? { listeners: new Set(), swept: 0 };
    this.#audiences.set(accountId, audience);
    // Two subscriptions with the same function are two.
    const listener = (hint: ChangeHint): void => heard(hint);
    audience.listeners.add(listener);
    return {
      [Symbol.dispose]: () => {
        audience.listeners.delete(listener);
        if (audience.listeners.size === 0 && this.#audiences.get(accountId) === audience) {
          this.#audiences.delete(accountId);
        }
      },
    };
  }

  /** A change was committed by this process. */
  tell(hint: ChangeHint): void {
    this.#spread(hint);
    this.#queue(hint);
    this.#sendAt(this.#quietUntil.get(hint.accountId) ?? 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#sweeper);
    if (this.#timer) clearTimeout(this.#timer);
    await this.#sending;
    // What waits for its turn is told before the end.
    await this.#send();
    await this.#sweeping;
    await this.#listening[Symbol.asyncDispose]();
    await this.#notifier[Symbol.asyncDispose]();
  }

  /** To the listeners of this process, later than the call, so that none runs inside of the change. */
  #spread(hint: ChangeHint): void {
    const audience = this.#audiences.get(hint.accountId);
    if (!audience) return;
    for (const listener of audience.listeners) {
      setImmediate(() => {
        if (audience.listeners.has(listener)) listener(hint);
      });
    }
  }

  #hear(text: string): void {
    let hints: readonly ChangeHint[];
    try {
      const [sender, ...changes] = JSON.parse(text) as Payload;
      if (sender === this.#sender) return;
      hints = changes.map(([account, modSeq, mailboxes]) => ({
        accountId: BigInt(account) as AccountId,
        modSeq: modSeq as ModSeq,
        mailboxIds: mailboxes.map((id) => BigInt(id) as MailboxId),
      }));
    } catch (error) {
      // Whoever may connect to the database may notify, and so does a newer server: whatever it says, something changed.
      this.#onError(error);
      this.#sweepSoon();
      return;
    }
    this.#metrics?.changeNotifications.inc({ direction: 'heard' }, hints.length);
    for (const hint of hints) this.#spread(hint);
  }

  #queue({ accountId, modSeq, mailboxIds }: ChangeHint): void {
    const pending = this.#pending.get(accountId) ?? { modSeq: 0, mailboxIds: new Set<MailboxId>() };
    pending.modSeq = Math.max(pending.modSeq, modSeq);
    for (const id of mailboxIds) pending.mailboxIds.add(id);
    this.#pending.set(accountId, pending);
  }

  /** Sends when the moment has come, not before the notifier has rested. */
  #sendAt(due: number): void {
    if (this.#sending || this.#isClosed) return;
    const at = Math.max(due, this.#restUntil);
    if (this.#timer && at >= this.#timerAt) return;
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    const wait = at - performance.now();
    if (wait <= 0) {
      this.#startSending();
      return;
    }
    this.#timerAt = at;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#startSending();
    }, wait).unref();
  }

  #startSending(): void {
    this.#sending = this.#send().finally(() => {
      this.#sending = null;
      this.#restUntil = performance.now() + restMs;
      if (this.#pending.size > 0) this.#sendAt(this.#nextDue());
    });
  }

  /** When the first of those that wait may be told. */
  #nextDue(): number {
    let due = Infinity;
    for (const accountId of this.#pending.keys()) due = Math.min(due, this.#quietUntil.get(accountId) ?? 0);
    return due;
  }

  async #send(): Promise<void> {
    const now = performance.now();
    for (const [accountId, until] of this.#quietUntil) if (until <= now) this.#quietUntil.delete(accountId);
    const hints: ChangeHint[] = [];
    // Those too whose time has not come: they cost little beside the others, and then come together the next time.
    for (const [accountId, { modSeq, mailboxIds }] of this.#pending) {
      hints.push({ accountId, modSeq: modSeq as ModSeq, mailboxIds: [...mailboxIds].slice(0, maxMailboxesPerHint) });
      this.#quietUntil.set(accountId, now + gapMs);
    }
    this.#pending.clear();
    if (hints.length === 0) return;
    try {
      await this.#notifier.send(payloadsOf(this.#sender, hints));
      this.#metrics?.changeNotifications.inc({ direction: 'sent' }, hints.length);
      this.#metrics?.changeFeedSeconds.observe((performance.now() - now) / 1000);
    } catch (error) {
      this.#onError(error);
      // Once more in a while: without it the others would hear with their next sweep only.
      for (const hint of hints) {
        this.#queue(hint);
        this.#quietUntil.set(hint.accountId, performance.now() + retryMs);
      }
    }
  }

  #sweepSoon(): void {
    if (this.#sweeping || this.#isClosed || this.#audiences.size === 0) return;
    this.#sweeping = this.#sweep()
      .catch(this.#onError)
      .finally(() => {
        this.#sweeping = null;
      });
  }

  async #sweep(): Promise<void> {
    const asked = [...this.#audiences].map(([accountId, { swept }]) => ({ accountId, swept }));
    const { rows } = await sql<{ account_id: AccountId; modseq: bigint; ids: readonly bigint[] }>`/*sweep-changes*/
      select s.account_id, s.modseq, array(
          select m.id from mailbox m where m.account_id = s.account_id and m.highest_modseq > a.swept
          union
          select l.mailbox_id from change_log l
            where l.account_id = s.account_id and l.modseq > a.swept and l.kind = 'mailbox-gone') as ids
        from unnest(${int8Array(asked.map(({ accountId }) => accountId))}::int8[], ${int8Array(asked.map(({ swept }) => swept))}::int8[]) a (id, swept)
        join account_state s on s.account_id = a.id and s.modseq > a.swept`.execute(this.#database.db);
    this.#metrics?.changeNotifications.inc({ direction: 'swept' }, rows.length);
    for (const { account_id: accountId, modseq, ids } of rows) {
      const modSeq = Number(modseq) as ModSeq;
      const audience = this.#audiences.get(accountId);
      if (audience) audience.swept = modSeq;
      this.#spread({ accountId, modSeq, mailboxIds: ids as readonly MailboxId[] });
    }
  }
}

/** As few payloads as the bound allows. */
function payloadsOf(sender: string, hints: readonly ChangeHint[]): readonly string[] {
  const payloads: string[] = [];
  let current: string[] = [];
  let bytes = 0;
  for (const { accountId, modSeq, mailboxIds } of hints) {
    const text = JSON.stringify([String(accountId), modSeq, mailboxIds.map(String)] satisfies Payload[1]);
    if (current.length > 0 && bytes + text.length + 20 > maxPayloadBytes) {
      payloads.push(`["${sender}",${current.join(',')}]`);
      current = [];
      bytes = 0;
    }
    current.push(text);
    bytes += text.length + 1;
  }
  payloads.push(`["${sender}",${current.join(',')}]`);
  return payloads;
}

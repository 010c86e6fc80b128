/**
 * The MailStore on Postgres. It knows no protocol. Everything that changes an account runs under the account's
 * lock (pg-change.ts, or store_batch for new mail); reads take none. Only MailError leaves it, or a bug.
 */
import type { AccountId, MailboxId, ModSeq, Uid } from '#shared/base/ids.ts';
import type { PostgresDatabase } from '#shared/db/client.ts';
import type { Database } from '#shared/db/schema.ts';
import { Turns } from '#shared/directory/turns.ts';
import { sql, type Selectable } from 'kysely';
import { maxKeywordBytes, maxMailboxes } from '#shared/base/limits.ts';
import type { FlagChange } from '#server/mail/flags.ts';
import { MailError } from '#server/mail/mail-error.ts';
import { canonicalMailboxName, newMailboxName } from '#server/mail/mailbox-name.ts';
import type { Mailbox, SpecialUse } from '#server/mail/mailbox.ts';
import type {
  AppendItem,
  Appended,
  ChangeHint,
  Copied,
  Delivered,
  Delivery,
  FetchedMessage,
  FetchWants,
  FlagsStored,
  MailboxState,
  MailStore,
  OpenedMailbox,
  SpooledMessage,
} from '#server/mail/ports.ts';
import type { SearchQuery } from '#server/mail/query.ts';
import { uidSetOf, type UidSet } from '#server/mail/uid-set.ts';
import { AccountTurns } from './account-turns.ts';
import { rememberFlagPages, type FlagPages } from './flag-pages.ts';
import { rememberMailboxes, type OpenedMailboxes } from './opened-mailboxes.ts';
import type { BatchItem, Stored } from './pg-batch.ts';
import { uploadBlob } from './pg-blobs.ts';
import { changeAccount, type Decision, type LockedAccount } from './pg-change.ts';
import { mailErrorOf, noSuchAccount, noSuchMailbox, refusing } from './pg-fault.ts';
import { fetchMessages } from './pg-fetch.ts';
import { FlagOrders } from './pg-flag-orders.ts';
import { DeliveryLane } from './pg-lane.ts';
import { createMailbox, deleteMailbox, renameMailbox } from './pg-mailboxes.ts';
import { changeMessages, type MessageChange } from './pg-message-change.ts';
import { openMailbox } from './pg-open-mailbox.ts';
import { RecentPages } from './pg-recent-pages.ts';
import { mailboxColumns, readMailboxState, toMailbox } from './pg-rows.ts';
import { searchMailbox } from './pg-search.ts';
import type { StoreMetrics } from './store-metrics.ts';
import { copyMessages, expungeMessages, moveMessages } from './pg-transfer.ts';

/** Raw bytes of one call above which its blobs are stored before the batch: it must not hold up others. */
const maxJobBytes = 4 * 1024 * 1024;
const maxUploads = 5;
const noPrefix = Buffer.alloc(0);
/** Each holds a connection for as long as it takes. */
const maxUploadsAtOnce = 2;

export type PgMailStoreOptions = {
  readonly database: PostgresDatabase;
  /** Hears of every committed change, once each: PgChangeFeed.tell. */
  readonly tell: (hint: ChangeHint) => void;
  readonly metrics?: StoreMetrics;
};

export class PgMailStore implements MailStore, AsyncDisposable {
  readonly #database: PostgresDatabase;
  readonly #tell: (hint: ChangeHint) => void;
  readonly #lane: DeliveryLane;
  readonly #metrics: StoreMetrics | null;
  readonly #accountTurns = new AccountTurns();
  readonly #recentPages: RecentPages;
  readonly #openedMailboxes: OpenedMailboxes;
  readonly #flagPages: FlagPages;
  readonly #flagOrders = new FlagOrders((accountId, begin) => this.#changeMessages(accountId, begin));
  readonly #uploadTurns = new Turns(maxUploadsAtOnce);

  constructor({ database, tell, metrics }: PgMailStoreOptions) {
    this.#database = database;
    this.#tell = tell;
    this.#metrics = metrics ?? null;
    this.#recentPages = new RecentPages(database.generation);
    this.#openedMailboxes = rememberMailboxes(database.generation);
    this.#flagPages = rememberFlagPages(database.generation);
    this.#lane = new DeliveryLane(database, this.#metrics);
  }

  /** Finishes what was handed in; the database stays open. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#lane[Symbol.asyncDispose]();
  }

  async deliver(message: SpooledMessage, deliveries: readonly Delivery[]): Promise<readonly Delivered[]> {
    const items = deliveries.map((delivery) => ({ ...delivery, message, internalDate: null }));
    const stored = await this.#store(items, false);
    return stored.map(({ mailboxId, uid, modSeq }) => ({ mailboxId, uid, modSeq }));
  }

  async append(accountId: AccountId, to: MailboxId | string, items: readonly AppendItem[]): Promise<Appended> {
    const place = await this.#placeOf(accountId, to, items);
    const stored = await this.#store(
      items.map((item) => ({ ...item, ...place, accountId, prefix: noPrefix })),
      true,
    );
    const [first] = stored;
    if (!first) throw new Error('nothing to append');
    const { mailboxId, uidValidity } = first;
    return { mailboxId, uidValidity, uids: uidSetOf(stored.map(({ uid }) => uid)) };
  }

  /** The mailbox, or its name where it can be looked for while the message is stored, which is then stored alone. */
  async #placeOf(
    accountId: AccountId,
    to: MailboxId | string,
    [item, another]: readonly AppendItem[],
  ): Promise<Pick<BatchItem, 'mailboxId' | 'mailboxName'>> {
    if (typeof to !== 'string') return { mailboxId: to };
    const isSingle = item !== undefined && another === undefined && item.keywords.length === 0;
    if (isSingle && this.#lane.isIdle && item.message.inMemory !== null && item.message.size <= maxJobBytes) {
      return { mailboxId: null, mailboxName: storableName(to) };
    }
    const mailbox = await this.findMailbox(accountId, to);
    if (mailbox === null) throw noSuchMailbox();
    return { mailboxId: mailbox.id };
  }

  async listMailboxes(accountId: AccountId): Promise<readonly Mailbox[]> {
    const rows = await refusing(
      this.#database.db.selectFrom('mailbox').selectAll().where('account_id', '=', accountId).orderBy('name').execute(),
    );
    if (rows.length === 0) throw noSuchAccount();
    return rows.map(toMailbox);
  }

  async findMailbox(accountId: AccountId, name: string): Promise<Mailbox | null> {
    const { rows } = await refusing(
      sql<Selectable<Database['mailbox']>>`/*find-mailbox*/
        select ${mailboxColumns} from mailbox m
        where m.account_id = ${accountId} and m.name = ${storableName(name)}`.execute(this.#database.db),
    );
    return rows[0] ? toMailbox(rows[0]) : null;
  }

  createMailbox(accountId: AccountId, name: string, specialUse: SpecialUse | null): Promise<Mailbox> {
    return this.#change(accountId, (account) => createMailbox(account, name, specialUse));
  }

  deleteMailbox(accountId: AccountId, mailboxId: MailboxId): Promise<void> {
    return this.#change(accountId, (account) => deleteMailbox(account, mailboxId));
  }

  renameMailbox(accountId: AccountId, mailboxId: MailboxId, to: string): Promise<void> {
    return this.#change(accountId, (account) => renameMailbox(account, mailboxId, to));
  }

  async listSubscriptions(accountId: AccountId): Promise<readonly string[]> {
    const rows = await refusing(
      this.#database.db
        .selectFrom('subscription')
        .select('name')
        .where('account_id', '=', accountId)
        .orderBy('name')
        .execute(),
    );
    return rows.map(({ name }) => name);
  }

  async setSubscribed(accountId: AccountId, name: string, subscribed: boolean): Promise<void> {
    const wanted = subscribed ? newMailboxName(name) : storableName(name);
    await this.#change(accountId, async ({ tx }) => {
      if (subscribed) {
        await tx
          .insertInto('subscription')
          .values({ account_id: accountId, name: wanted })
          .onConflict((conflict) => conflict.doNothing())
          .execute();
        const { count } = await tx
          .selectFrom('subscription')
          .select((eb) => eb.fn.countAll<bigint>().as('count'))
          .where('account_id', '=', accountId)
          .executeTakeFirstOrThrow();
        if (count > maxMailboxes) {
          throw new MailError({ kind: 'limit', reason: `an account has at most ${maxMailboxes} subscriptions` });
        }
      } else {
        await tx.deleteFrom('subscription').where('account_id', '=', accountId).where('name', '=', wanted).execute();
      }
      return { value: undefined, writes: null };
    });
  }

  openMailbox(accountId: AccountId, name: string): Promise<OpenedMailbox | null> {
    const wanted = { accountId, name: storableName(name) };
    return refusing(openMailbox(this.#database.db, this.#openedMailboxes, wanted));
  }

  async readState(
    accountId: AccountId,
    mailboxId: MailboxId,
    since: ModSeq,
    enough: ModSeq | null = null,
  ): Promise<MailboxState | null> {
    const known = enough === null ? null : this.#recentPages.stateOf(accountId, mailboxId, since, enough);
    return known ?? refusing(readMailboxState(this.#database.db, accountId, mailboxId, since));
  }

  async claimRecent(accountId: AccountId, mailboxId: MailboxId, before: Uid): Promise<Uid> {
    // Nobody waits for the disk: lost with the machine's power, messages are \Recent once more (RFC 3501 section 2.3.2).
    const { rows } = await refusing(
      sql<{ mark: bigint }>`/*claim-recent*/
        with old as (
          select account_id, id, recent_from, set_config('synchronous_commit', 'off', true)
          from mailbox where account_id = ${accountId} and id = ${mailboxId} for no key update)
        update mailbox m set recent_from = greatest(old.recent_from, ${before}) from old
          where m.account_id = old.account_id and m.id = old.id
          returning old.recent_from as mark`.execute(this.#database.db),
    );
    if (!rows[0]) throw noSuchMailbox();
    return Number(rows[0].mark) as Uid;
  }

  async *fetch(
    accountId: AccountId,
    mailboxId: MailboxId,
    uids: UidSet,
    wants: FetchWants,
  ): AsyncGenerator<readonly FetchedMessage[], void, void> {
    try {
      yield* fetchMessages(
        { db: this.#database.db, flagPages: this.#flagPages },
        { accountId, mailboxId },
        uids,
        wants,
      );
    } catch (error) {
      throw mailErrorOf(error) ?? error;
    }
  }

  search(accountId: AccountId, mailboxId: MailboxId, query: SearchQuery, signal: AbortSignal): Promise<readonly Uid[]> {
    return refusing(searchMailbox(this.#database.db, { accountId, mailboxId }, query, { signal }));
  }

  storeFlags(accountId: AccountId, mailboxId: MailboxId, uids: UidSet, change: FlagChange): Promise<FlagsStored> {
    return this.#flagOrders.store(accountId, mailboxId, { uids, change });
  }

  copy(accountId: AccountId, from: MailboxId, uids: UidSet, to: MailboxId): Promise<Copied> {
    return this.#changeMessages(accountId, () => copyMessages(from, uids, to));
  }

  move(accountId: AccountId, from: MailboxId, uids: UidSet, to: MailboxId): Promise<Copied> {
    return this.#changeMessages(accountId, () => moveMessages(from, uids, to));
  }

  expunge(accountId: AccountId, mailboxId: MailboxId, uids: UidSet | null): Promise<UidSet> {
    return this.#changeMessages(accountId, () => expungeMessages(mailboxId, uids));
  }

  async quota(accountId: AccountId): Promise<{ readonly usedBytes: number; readonly limitBytes: number | null }> {
    const row = await refusing(
      this.#database.db
        .selectFrom('account_state as s')
        .innerJoin('account as a', 'a.id', 's.account_id')
        .select(['s.used_bytes', 'a.quota_bytes'])
        .where('s.account_id', '=', accountId)
        .executeTakeFirst(),
    );
    if (!row) throw noSuchAccount();
    return {
      usedBytes: Number(row.used_bytes),
      limitBytes: row.quota_bytes === null ? null : Number(row.quota_bytes),
    };
  }

  #change<T>(accountId: AccountId, change: (account: LockedAccount) => Promise<Decision<T>>): Promise<T> {
    return refusing(
      this.#accountTurns.take(accountId, () => changeAccount(this.#database.db, this.#tell, accountId, change)),
    );
  }

  #changeMessages<T>(accountId: AccountId, begin: () => MessageChange<T>): Promise<T> {
    return refusing(
      this.#accountTurns.take(accountId, async () => {
        const change = begin();
        const known = this.#recentPages.get(accountId, change);
        const { value, written } = await changeMessages(this.#database.db, accountId, change, known);
        if (written === null) return value;
        const { before, writes } = written;
        const mailboxIds = [...new Set(writes.log.map(({ mailboxId }) => mailboxId))];
        this.#tell({ accountId, mailboxIds, modSeq: before.modSeq });
        this.#recentPages.note(accountId, written);
        return value;
      }),
    );
  }

  async #store(items: readonly BatchItem[], refusesOverQuota: boolean): Promise<readonly Stored[]> {
    if (items.length === 0) return [];
    if (items.some(({ keywords }) => keywords.some((keyword) => Buffer.byteLength(keyword) > maxKeywordBytes))) {
      throw new MailError({ kind: 'limit', reason: `a keyword has at most ${maxKeywordBytes} bytes` });
    }
    const messages = [...new Set(items.map(({ message }) => message))];
    const bytes = messages.reduce((sum, { size }) => sum + size, 0);
    const isUploaded = bytes > maxJobBytes || messages.some(({ inMemory }) => inMemory === null);
    for (let upload = 1; ; upload++) {
      if (isUploaded) for (const message of messages) await this.#upload(message);
      const outcome = await refusing(this.#lane.submit({ items, refusesOverQuota, isUploaded }));
      if (outcome instanceof MailError) throw outcome;
      if (outcome !== 'blob-gone') {
        const source = refusesOverQuota ? 'append' : 'delivery';
        this.#metrics?.messagesStored.inc({ source }, items.length);
        this.#metrics?.bytesStored.inc(
          { source },
          items.reduce((sum, { message, prefix }) => sum + message.size + prefix.length, 0),
        );
        this.#tellStored(items, outcome);
        return outcome;
      }
      if (upload === maxUploads) throw new MailError({ kind: 'unavailable' });
    }
  }

  #upload(message: SpooledMessage): Promise<void> {
    return refusing(this.#uploadTurns.take(() => uploadBlob(this.#database.db, message)));
  }

  #tellStored(items: readonly BatchItem[], stored: readonly Stored[]): void {
    const places = items.map(({ accountId }, i) => ({ accountId, ...(stored[i] as Stored) }));
    for (const [accountId, ofAccount] of Map.groupBy(places, (place) => place.accountId)) {
      const mailboxIds = [...new Set(ofAccount.map(({ mailboxId }) => mailboxId))];
      this.#recentPages.forget(accountId);
      this.#tell({ accountId, mailboxIds, modSeq: (ofAccount[0] as Stored).modSeq });
    }
  }
}

/** NUL can't be in a text, nor in a mailbox's name. */
function storableName(name: string): string {
  return canonicalMailboxName(name).replaceAll('\0', '\uFFFD');
}

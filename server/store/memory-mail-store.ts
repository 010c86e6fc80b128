import type { AccountId, EmailId, MailboxId, ModSeq, Uid } from '#shared/base/ids.ts';
import { systemClock, type Clock } from '#shared/base/clock.ts';
import { flagBits, type FlagChange } from '#server/mail/flags.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { Mailbox, SpecialUse } from '#server/mail/mailbox.ts';
import { flagsOf, forEachUid, forEachUidIn } from '#server/mail/mailbox-page.ts';
import type {
  AppendItem,
  Appended,
  Copied,
  Delivered,
  Delivery,
  FetchedMessage,
  FlagsStored,
  FetchWants,
  MailboxState,
  MailStore,
  OpenedMailbox,
  SpooledMessage,
} from '#server/mail/ports.ts';
import { Presence } from '#server/mail/presence.ts';
import type { SearchQuery } from '#server/mail/query.ts';
import { uidSetOf, type UidSet } from '#server/mail/uid-set.ts';
import { MemoryAccount } from './memory-account.ts';
import { MemoryChangeFeed } from './memory-change-feed.ts';
import { contentOf, fetchedMessage, knownMessage } from './memory-message.ts';
import type { MemoryEmail, MemoryMailbox, NewMessage } from './memory-mailbox.ts';
import { matchMessage } from './match-content.ts';

const messagesPerBatch = 100;

/**
 * A MailStore that keeps everything in memory, for tests of what is built on the port. A change is made in one
 * piece, without waiting inside, after everything that could refuse it was looked at.
 */
export class MemoryMailStore implements MailStore {
  readonly feed = new MemoryChangeFeed();
  readonly #accounts = new Map<AccountId, MemoryAccount>();
  readonly #blobs = new Map<string, Buffer>();
  readonly #clock: Clock;
  #lastId = 0n;

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  /** `limitBytes` null: no quota. */
  createAccount(limitBytes: number | null = null): AccountId {
    const id = this.#nextId() as AccountId;
    this.#accounts.set(id, new MemoryAccount(id, limitBytes, () => this.#nextId() as MailboxId));
    return id;
  }

  /** How many different messages were ever stored. */
  get blobCount(): number {
    return this.#blobs.size;
  }

  async deliver(message: SpooledMessage, deliveries: readonly Delivery[]): Promise<readonly Delivered[]> {
    const raw = await this.#blob(message);
    const internalDate = this.#clock.now();
    const places = deliveries.map(({ accountId, mailboxId, prefix, flags, keywords }) => {
      const account = this.#account(accountId);
      const mailbox = account.mailbox(mailboxId);
      const email = this.#email(message, raw, prefix);
      return { account, mailbox, message: { email, internalDate, flags, keywords } };
    });
    for (const [mailbox, ofMailbox] of Map.groupBy(places, (place) => place.mailbox)) {
      mailbox.checkRoomFor(ofMailbox.map((place) => place.message));
    }
    return places.map(({ account, mailbox, message }) => {
      const modSeq = account.nextModSeq();
      const uid = mailbox.header().uidNext;
      mailbox.add([message], modSeq);
      this.#tell(account, [mailbox], modSeq);
      return { mailboxId: mailbox.id, uid, modSeq };
    });
  }

  async append(accountId: AccountId, to: MailboxId | string, items: readonly AppendItem[]): Promise<Appended> {
    const now = this.#clock.now();
    const messages: NewMessage[] = [];
    for (const { message, flags, keywords, internalDate } of items) {
      const email = this.#email(message, await this.#blob(message), Buffer.alloc(0));
      messages.push({ email, internalDate: internalDate ?? now, flags, keywords });
    }
    const account = this.#account(accountId);
    const mailbox = typeof to === 'string' ? account.findByName(to) : account.mailbox(to);
    if (mailbox === null) throw new MailError({ kind: 'no-such-mailbox', name: String(to) });
    account.checkQuotaFor(messages);
    mailbox.checkRoomFor(messages);
    const modSeq = account.nextModSeq();
    const uids = mailbox.add(messages, modSeq);
    this.#tell(account, [mailbox], modSeq);
    return { mailboxId: mailbox.id, uidValidity: mailbox.uidValidity, uids };
  }

  async listMailboxes(accountId: AccountId): Promise<readonly Mailbox[]> {
    return this.#account(accountId)
      .mailboxesByName()
      .map((mailbox) => mailbox.header());
  }

  async findMailbox(accountId: AccountId, name: string): Promise<Mailbox | null> {
    return this.#account(accountId).findByName(name)?.header() ?? null;
  }

  async createMailbox(accountId: AccountId, name: string, specialUse: SpecialUse | null): Promise<Mailbox> {
    const account = this.#account(accountId);
    const mailbox = account.create(name, specialUse);
    this.#tell(account, [mailbox], account.nextModSeq());
    return mailbox.header();
  }

  async deleteMailbox(accountId: AccountId, mailboxId: MailboxId): Promise<void> {
    const account = this.#account(accountId);
    this.#tell(account, [account.delete(mailboxId)], account.nextModSeq());
  }

  async renameMailbox(accountId: AccountId, mailboxId: MailboxId, to: string): Promise<void> {
    const account = this.#account(accountId);
    this.#tell(account, account.rename(mailboxId, to), account.nextModSeq());
  }

  async listSubscriptions(accountId: AccountId): Promise<readonly string[]> {
    return this.#account(accountId).subscriptionsByName();
  }

  async setSubscribed(accountId: AccountId, name: string, subscribed: boolean): Promise<void> {
    this.#account(accountId).setSubscribed(name, subscribed);
  }

  async openMailbox(accountId: AccountId, name: string): Promise<OpenedMailbox | null> {
    const state = this.#account(accountId)
      .findByName(name)
      ?.state(() => true);
    if (!state) return null;
    let firstUnseen: Uid | null = null;
    for (const page of state.pages) {
      forEachUid(page, (uid) => {
        if ((flagsOf(page, uid) & flagBits.seen) === 0) firstUnseen ??= uid;
      });
    }
    return { mailbox: state.mailbox, presence: Presence.of(state.pages), firstUnseen };
  }

  /** Always as of now. */
  async readState(
    accountId: AccountId,
    mailboxId: MailboxId,
    since: ModSeq,
    _enough?: ModSeq | null,
  ): Promise<MailboxState | null> {
    const mailbox = this.#account(accountId).find(mailboxId);
    return mailbox?.state(({ maxModSeq }) => maxModSeq > since) ?? null;
  }

  async claimRecent(accountId: AccountId, mailboxId: MailboxId, before: Uid): Promise<Uid> {
    const mailbox = this.#account(accountId).mailbox(mailboxId);
    const mark = mailbox.recentFrom;
    mailbox.recentFrom = Math.max(mark, before) as Uid;
    return mark;
  }

  async *fetch(
    accountId: AccountId,
    mailboxId: MailboxId,
    uids: UidSet,
    wants: FetchWants,
  ): AsyncGenerator<readonly FetchedMessage[], void, void> {
    const mailbox = this.#account(accountId).mailbox(mailboxId);
    const there = mailbox.uids(uids);
    for (let at = 0; at < there.length; at += messagesPerBatch) {
      const batch = there.slice(at, at + messagesPerBatch).flatMap((uid) => {
        const message = mailbox.message(uid);
        return message ? [fetchedMessage(uid, message, () => mailbox.messageState(uid), wants)] : [];
      });
      if (batch.length > 0) yield batch;
    }
  }

  async search(
    accountId: AccountId,
    mailboxId: MailboxId,
    query: SearchQuery,
    signal: AbortSignal,
  ): Promise<readonly Uid[]> {
    const mailbox = this.#account(accountId).mailbox(mailboxId);
    const found: Uid[] = [];
    for (const uid of mailbox.uids(null)) {
      signal.throwIfAborted();
      const message = mailbox.message(uid);
      if (!message) continue;
      const known = knownMessage(uid, message, mailbox.messageState(uid));
      const content = () => Promise.resolve(contentOf(message.email));
      if (await matchMessage(query, known, content, signal)) found.push(uid);
    }
    return found;
  }

  async storeFlags(accountId: AccountId, mailboxId: MailboxId, uids: UidSet, change: FlagChange): Promise<FlagsStored> {
    const account = this.#account(accountId);
    const mailbox = account.mailbox(mailboxId);
    const before = mailbox.state(() => false).mailbox.highestModSeq;
    const modSeq = account.nextModSeq();
    mailbox.changeFlags(uids, change, modSeq);
    const state = mailbox.state((page) => {
      let holdsAny = false;
      forEachUidIn(page, uids, () => {
        holdsAny = true;
      });
      return holdsAny;
    });
    if (state.mailbox.highestModSeq === modSeq) this.#tell(account, [mailbox], modSeq);
    return { ...state, before };
  }

  async copy(accountId: AccountId, from: MailboxId, uids: UidSet, to: MailboxId): Promise<Copied> {
    const account = this.#account(accountId);
    const source = account.mailbox(from);
    const target = account.mailbox(to);
    const { present, messages } = chosen(source, uids);
    if (messages.length > 0) account.checkQuotaFor(messages);
    target.checkRoomFor(messages);
    const modSeq = account.nextModSeq();
    const destination = target.add(messages, modSeq);
    if (present.length > 0) this.#tell(account, [target], modSeq);
    return { uidValidity: target.uidValidity, source: uidSetOf(present), destination };
  }

  async move(accountId: AccountId, from: MailboxId, uids: UidSet, to: MailboxId): Promise<Copied> {
    const account = this.#account(accountId);
    const source = account.mailbox(from);
    const target = account.mailbox(to);
    const { present, messages } = chosen(source, uids);
    target.checkRoomFor(messages);
    const modSeq = account.nextModSeq();
    const destination = target.add(messages, modSeq);
    source.remove(present, modSeq);
    if (present.length > 0) this.#tell(account, [source, target], modSeq);
    return { uidValidity: target.uidValidity, source: uidSetOf(present), destination };
  }

  async expunge(accountId: AccountId, mailboxId: MailboxId, uids: UidSet | null): Promise<UidSet> {
    const account = this.#account(accountId);
    const mailbox = account.mailbox(mailboxId);
    const deleted = mailbox.uids(uids).filter((uid) => (mailbox.messageState(uid).flags & flagBits.deleted) !== 0);
    if (deleted.length === 0) return [];
    const modSeq = account.nextModSeq();
    mailbox.remove(deleted, modSeq);
    this.#tell(account, [mailbox], modSeq);
    return uidSetOf(deleted);
  }

  async quota(accountId: AccountId): Promise<{ readonly usedBytes: number; readonly limitBytes: number | null }> {
    const account = this.#account(accountId);
    return { usedBytes: account.usedBytes(), limitBytes: account.limitBytes };
  }

  #nextId(): bigint {
    return ++this.#lastId;
  }

  #account(id: AccountId): MemoryAccount {
    const account = this.#accounts.get(id);
    if (!account) throw new MailError({ kind: 'no-such-account' });
    return account;
  }

  async #blob(message: SpooledMessage): Promise<Buffer> {
    const known = this.#blobs.get(message.hash);
    if (known) return known;
    const chunks: Buffer[] = [];
    for await (const chunk of message.read(0, message.size)) chunks.push(Buffer.from(chunk));
    const raw = Buffer.concat(chunks);
    this.#blobs.set(message.hash, raw);
    return raw;
  }

  #email({ index }: SpooledMessage, raw: Buffer, prefix: Buffer): MemoryEmail {
    return {
      id: this.#nextId() as EmailId,
      prefix,
      raw,
      envelope: index.envelope,
      bodystructure: index.bodystructure,
      root: index.root,
      sentDay: index.sentAt?.day ?? null,
    };
  }

  #tell(account: MemoryAccount, mailboxes: readonly MemoryMailbox[], modSeq: ModSeq): void {
    this.feed.tell({ accountId: account.id, mailboxIds: mailboxes.map(({ id }) => id), modSeq });
  }
}

function chosen(
  mailbox: MemoryMailbox,
  uids: UidSet,
): { readonly present: readonly Uid[]; readonly messages: readonly NewMessage[] } {
  const present = mailbox.uids(uids);
  const messages = present.flatMap((uid) => {
    const message = mailbox.message(uid);
    return message ? [{ ...message, ...mailbox.messageState(uid) }] : [];
  });
  return { present, messages };
}

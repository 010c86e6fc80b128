/** What the contract suite needs of a store, and short ways to say what its tests do often. */
import { expect } from 'vitest';
import { MailError, type MailFault } from '#server/mail/mail-error.ts';
import type { FlagBits, FlagChange } from '#server/mail/flags.ts';
import { keywordNames } from '#server/mail/keyword-table.ts';
import type { Mailbox } from '#server/mail/mailbox.ts';
import { flagsOf, forEachUid, keywordBitsOf, modSeqOf } from '#server/mail/mailbox-page.ts';
import type {
  ChangeFeed,
  Delivered,
  FetchedMessage,
  FetchWants,
  FlagsStored,
  MailboxState,
  MailStore,
  MessageContent,
} from '#server/mail/ports.ts';
import { uidSet, type UidSet } from '#server/mail/uid-set.ts';
import type { AccountId, MailboxId, ModSeq } from '#shared/base/ids.ts';
import { spooled } from '../harness/message.ts';

export interface StoreUnderTest extends AsyncDisposable {
  readonly store: MailStore;
  readonly feed: ChangeFeed;
  /** With the initial mailboxes. */
  createAccount(options: { readonly limitBytes: number | null }): Promise<AccountId>;
  /** Blobs stored, of all accounts. */
  countBlobs(): Promise<number>;
}

export const everyUid: UidSet = uidSet([[1, 0xffff_ffff]]);
export const noModSeq = 0 as ModSeq;
export const unknownAccount = 9_000_000_000_000_000n as AccountId;
export const unknownMailbox = 9_000_000_000_000_000n as MailboxId;

let serial = 0;

/** A small message that no other test has. */
export function letter(subject = 'hello', body = 'Good day.\r\n'): string {
  serial++;
  return [
    'From: Ann <ann@example.org>',
    'To: Bob <bob@example.net>',
    `Subject: ${subject}`,
    `Message-ID: <${serial}.${process.pid}.${Date.now()}@example.org>`,
    'Date: Sun, 10 Mar 2024 23:30:00 -0800',
    '',
    body,
  ].join('\r\n');
}

export type Put = {
  readonly raw?: string | Buffer;
  readonly mailboxId?: MailboxId | null;
  readonly flags?: FlagBits;
  readonly keywords?: readonly string[];
  readonly internalDate?: Date;
};

/** An account with its INBOX, and what sessions of its user do. */
export class TestAccount {
  readonly under: StoreUnderTest;
  readonly id: AccountId;
  readonly inboxId: MailboxId;

  private constructor(under: StoreUnderTest, id: AccountId, inboxId: MailboxId) {
    this.under = under;
    this.id = id;
    this.inboxId = inboxId;
  }

  static async create(under: StoreUnderTest, limitBytes: number | null = null): Promise<TestAccount> {
    const id = await under.createAccount({ limitBytes });
    const inbox = await under.store.findMailbox(id, 'INBOX');
    return new TestAccount(under, id, inbox?.id ?? unknownMailbox);
  }

  get store(): MailStore {
    return this.under.store;
  }

  async deliver({ raw = letter(), mailboxId = null, flags = 0, keywords = [] }: Put = {}): Promise<Delivered> {
    await using message = await spooled(raw);
    const delivery = { accountId: this.id, mailboxId, prefix: Buffer.alloc(0), flags, keywords };
    const [delivered] = await this.store.deliver(message, [delivery]);
    if (!delivered) throw new Error('nothing was delivered');
    return delivered;
  }

  /** So many copies of one message. */
  async append(count: number, put: Put = {}): Promise<UidSet> {
    await using message = await spooled(put.raw ?? letter());
    const item = {
      message,
      flags: put.flags ?? 0,
      keywords: put.keywords ?? [],
      internalDate: put.internalDate ?? null,
    };
    const items = Array.from({ length: count }, () => item);
    return (await this.store.append(this.id, put.mailboxId ?? this.inboxId, items)).uids;
  }

  create(name: string): Promise<Mailbox> {
    return this.store.createMailbox(this.id, name, null);
  }

  async mailbox(name: string): Promise<Mailbox> {
    const mailbox = await this.store.findMailbox(this.id, name);
    if (!mailbox) throw new Error(`there is no ${name}`);
    return mailbox;
  }

  async names(): Promise<readonly string[]> {
    return (await this.store.listMailboxes(this.id)).map(({ name }) => name);
  }

  async state(mailboxId: MailboxId = this.inboxId, since: ModSeq = noModSeq): Promise<MailboxState> {
    const state = await this.store.readState(this.id, mailboxId, since);
    if (!state) throw new Error('the mailbox is gone');
    return state;
  }

  async uids(mailboxId: MailboxId = this.inboxId): Promise<readonly number[]> {
    return messagesOf(await this.state(mailboxId)).map(({ uid }) => uid);
  }

  change(uids: UidSet, change: Partial<FlagChange>, mailboxId: MailboxId = this.inboxId): Promise<FlagsStored> {
    return this.store.storeFlags(this.id, mailboxId, uids, { mode: 'add', flags: 0, keywords: [], ...change });
  }

  async fetch(
    wants: FetchWants,
    uids: UidSet = everyUid,
    mailboxId: MailboxId = this.inboxId,
  ): Promise<readonly FetchedMessage[]> {
    const messages: FetchedMessage[] = [];
    for await (const batch of this.store.fetch(this.id, mailboxId, uids, wants)) messages.push(...batch);
    return messages;
  }

  /** The bytes of each message, trace fields first. */
  async bodies(mailboxId: MailboxId = this.inboxId): Promise<readonly string[]> {
    const bodies: string[] = [];
    for (const { content } of await this.fetch({ content: true }, everyUid, mailboxId)) {
      if (content) bodies.push(content.prefix.toString('latin1') + (await bytesOf(content)).toString('latin1'));
    }
    return bodies;
  }
}

export type SeenMessage = {
  readonly uid: number;
  readonly flags: FlagBits;
  readonly keywords: readonly string[];
  readonly modSeq: number;
};

/** What the pages say, with keywords by name. */
export function messagesOf({ mailbox, pages }: MailboxState): readonly SeenMessage[] {
  const messages: SeenMessage[] = [];
  for (const page of pages) {
    forEachUid(page, (uid) => {
      const keywords = keywordNames(mailbox.keywords, keywordBitsOf(page, uid));
      messages.push({ uid, flags: flagsOf(page, uid), keywords: [...keywords].sort(), modSeq: modSeqOf(page, uid) });
    });
  }
  return messages;
}

export async function bytesOf(content: MessageContent, start = 0, end = content.rawSize): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of content.read(start, end)) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

/** The fault that the promise rejects with. */
export async function faultOf(promise: Promise<unknown>): Promise<MailFault> {
  const error = await promise.then(
    () => null,
    (error: unknown) => error,
  );
  expect(error).toBeInstanceOf(MailError);
  return (error as MailError).fault;
}

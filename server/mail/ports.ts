/**
 * What protocols may ask of storage. Implemented by server/store (Postgres, and in memory for unit tests; one
 * contract suite, test/contracts, runs on both) and handed out by server/compose.ts.
 * Every method may refuse with a MailError; what it wrote is committed when its promise resolves.
 */
import type { AccountId, BlobHash, EmailId, MailboxId, ModSeq, Uid } from '#shared/base/ids.ts';
import type { MessageIndex, Part } from '#server/mime/part.ts';
import type { FlagBits, FlagChange } from './flags.ts';
import type { Mailbox, SpecialUse } from './mailbox.ts';
import type { MailboxPage } from './mailbox-page.ts';
import type { Presence } from './presence.ts';
import type { SearchQuery } from './query.ts';
import type { UidSet } from './uid-set.ts';

/** A message whose bytes are complete, hashed and indexed, but not stored. Its owner disposes of it. */
export interface SpooledMessage extends AsyncDisposable {
  /** Bytes, without any trace prefix. */
  readonly size: number;
  readonly hash: BlobHash;
  readonly index: MessageIndex;
  /**
   * All bytes, where the message is at most `maxMessageBytesInMemory`; else null: read it in pieces. Null too for a
   * small message that came while the memory of all spools was used up.
   */
  readonly inMemory: Buffer | null;
  /** Bytes `start` to `end` (exclusive), in chunks of at most 256 KiB. */
  read(start: number, end: number): AsyncIterable<Buffer>;
}

/** One copy of a message for one account. */
export type Delivery = {
  readonly accountId: AccountId;
  /** null is INBOX. */
  readonly mailboxId: MailboxId | null;
  /** Trace header fields (Return-Path, Delivered-To, Received) with CRLFs, put before the message. */
  readonly prefix: Buffer;
  readonly flags: FlagBits;
  readonly keywords: readonly string[];
};

export type Delivered = { readonly mailboxId: MailboxId; readonly uid: Uid; readonly modSeq: ModSeq };

export type AppendItem = {
  readonly message: SpooledMessage;
  readonly flags: FlagBits;
  readonly keywords: readonly string[];
  /** null: now. */
  readonly internalDate: Date | null;
};

/** RFC 4315 section 3, COPYUID: the n-th UID of `source` became the n-th of `destination`. */
export type Copied = {
  readonly uidValidity: number;
  readonly source: UidSet;
  readonly destination: UidSet;
};

/** A mailbox's header and those of its pages that changed, all of one moment. */
export type MailboxState = {
  readonly mailbox: Mailbox;
  /** Ascending by page number. A page whose last message went is present with no UID in it. */
  readonly pages: readonly MailboxPage[];
};

/** What a session needs of a mailbox that it selects, of one moment. */
export type OpenedMailbox = {
  readonly mailbox: Mailbox;
  /** Which messages are there. It is shared: whoever changes it copies it first. */
  readonly presence: Presence;
  /** The first message without \Seen; null: there is none. */
  readonly firstUnseen: Uid | null;
};

/** The mailbox and the pages that hold any of the messages named, as they are after the change. */
export type FlagsStored = MailboxState & {
  /** The mailbox's highest modseq before the change: who knew the mailbox then knows it now, with these pages. */
  readonly before: ModSeq;
};

export type Appended = { readonly mailboxId: MailboxId; readonly uidValidity: number; readonly uids: UidSet };

export type FetchWants = {
  readonly emailId?: boolean;
  readonly flags?: boolean;
  readonly internalDate?: boolean;
  readonly size?: boolean;
  readonly envelope?: boolean;
  readonly bodystructure?: boolean;
  /** These fields of the header, trace fields of the delivery included; at least one name. */
  readonly headerFields?: readonly string[];
  /** Byte offsets of the parts and access to the bytes. */
  readonly content?: boolean;
};

/** Random access to one stored message. */
export interface MessageContent {
  /** Trace fields put before the bytes as received; header sections and BODY[] begin with them. */
  readonly prefix: Buffer;
  /** Bytes as received, without the prefix; the offsets of `root` count in them. */
  readonly rawSize: number;
  readonly root: Part;
  /**
   * Raw bytes `start` to `end` (exclusive), in chunks; small messages come as one chunk already at hand. Of what `fetch`
   * gave, a chunk is good until the next chunk of any of its messages is asked for: whoever needs it longer copies it.
   */
  read(start: number, end: number): AsyncIterable<Buffer>;
  /** The same in one chunk, where there is nothing to be waited for; null, and where it is not known: `read` them. */
  atHand?(start: number, end: number): Buffer | null;
}

/** Only what was wanted is there. */
export type FetchedMessage = {
  readonly uid: Uid;
  readonly emailId?: EmailId;
  readonly modSeq?: ModSeq;
  readonly flags?: FlagBits;
  readonly keywords?: readonly string[];
  readonly internalDate?: Date;
  /** RFC822.SIZE: prefix and raw bytes. */
  readonly size?: number;
  readonly envelope?: string;
  readonly bodystructure?: string;
  /** As RFC 3501 section 6.4.5 HEADER.FIELDS; a code unit below 256 stands for one byte. */
  readonly headerFields?: string;
  readonly content?: MessageContent;
};

export interface MailStore {
  /**
   * Stores one message for all of its recipients in one transaction; the blob is written once. Resolves after
   * the commit, in the order of `deliveries`. Quota is not looked at: RCPT did (a running transaction may
   * overshoot by one message). Deliveries of several callers share a transaction.
   */
  deliver(message: SpooledMessage, deliveries: readonly Delivery[]): Promise<readonly Delivered[]>;

  /**
   * RFC 3501 section 6.3.11. `to`: a mailbox, or the name of one as `findMailbox` takes it. Refuses with over-quota,
   * no-such-mailbox; all items are stored or none.
   */
  append(accountId: AccountId, to: MailboxId | string, items: readonly AppendItem[]): Promise<Appended>;

  /** All mailboxes, by name. */
  listMailboxes(accountId: AccountId): Promise<readonly Mailbox[]>;
  /** By exact name; INBOX in any case. Null: there is none. */
  findMailbox(accountId: AccountId, name: string): Promise<Mailbox | null>;
  /** Makes the levels above it too (RFC 3501 section 6.3.3). Its UIDVALIDITY is above that of any earlier one of the name. */
  createMailbox(accountId: AccountId, name: string, specialUse: SpecialUse | null): Promise<Mailbox>;
  /** Refuses INBOX and, with mailbox-has-children, one with levels below it. */
  deleteMailbox(accountId: AccountId, mailboxId: MailboxId): Promise<void>;
  /** With the levels below it. INBOX: its messages move to a new mailbox `to` (RFC 3501 section 6.3.5). */
  renameMailbox(accountId: AccountId, mailboxId: MailboxId, to: string): Promise<void>;
  /** Subscribed names, also of mailboxes that are no more (RFC 3501 section 6.3.9), by name. */
  listSubscriptions(accountId: AccountId): Promise<readonly string[]>;
  setSubscribed(accountId: AccountId, name: string, subscribed: boolean): Promise<void>;

  /** By exact name; INBOX in any case. Null: there is none. */
  openMailbox(accountId: AccountId, name: string): Promise<OpenedMailbox | null>;
  /**
   * The header and the pages changed after `since` (0: every page). Null: the mailbox is gone. As of now, or of any moment
   * from `enough` on, where the caller has heard of every change so far.
   */
  readState(
    accountId: AccountId,
    mailboxId: MailboxId,
    since: ModSeq,
    enough?: ModSeq | null,
  ): Promise<MailboxState | null>;
  /** From now on messages below `before` are not \Recent to other sessions. Resolves with the mark before. */
  claimRecent(accountId: AccountId, mailboxId: MailboxId, before: Uid): Promise<Uid>;

  /** Messages of `uids` that are still there, ascending, in batches bounded in rows and bytes. */
  fetch(
    accountId: AccountId,
    mailboxId: MailboxId,
    uids: UidSet,
    wants: FetchWants,
  ): AsyncIterable<readonly FetchedMessage[]>;
  /** UIDs that match, ascending. Stops when `signal` aborts. */
  search(accountId: AccountId, mailboxId: MailboxId, query: SearchQuery, signal: AbortSignal): Promise<readonly Uid[]>;

  storeFlags(accountId: AccountId, mailboxId: MailboxId, uids: UidSet, change: FlagChange): Promise<FlagsStored>;
  /** Copies share the email and its blob. Refuses over-quota. Nothing left of `uids`: empty sets. */
  copy(accountId: AccountId, from: MailboxId, uids: UidSet, to: MailboxId): Promise<Copied>;
  /** RFC 6851: as copy and expunge in one transaction. */
  move(accountId: AccountId, from: MailboxId, uids: UidSet, to: MailboxId): Promise<Copied>;
  /** Removes the messages with \Deleted among `uids` (null: all of the mailbox); resolves with those removed. */
  expunge(accountId: AccountId, mailboxId: MailboxId, uids: UidSet | null): Promise<UidSet>;

  /** Bytes used and allowed; `limitBytes` null: no limit. */
  quota(accountId: AccountId): Promise<{ readonly usedBytes: number; readonly limitBytes: number | null }>;
}

/** Something changed in an account; only a hint: what changed is read from the store. */
export type ChangeHint = {
  readonly accountId: AccountId;
  readonly mailboxIds: readonly MailboxId[];
  readonly modSeq: ModSeq;
};

export interface ChangeFeed {
  /** Calls `heard` after every committed change of the account, by any process, until disposed. */
  subscribe(accountId: AccountId, heard: (hint: ChangeHint) => void): Disposable;
}

/** What a domain asks of mail that comes in for it. */
export type InboundPolicy = {
  /** Null: no less than the server's own limit. */
  readonly maxMessageBytes: number | null;
  readonly requiresTls: boolean;
};

/** What became of a recipient's address. */
export type RecipientVerdict =
  /** Accounts, each once (aliases may name several). `address` is the account's own, for Delivered-To. */
  | {
      readonly kind: 'local';
      readonly accounts: readonly { readonly accountId: AccountId; readonly address: string }[];
      /** Addresses elsewhere that the alias names, each once. With none, there is an account. */
      readonly forwards: readonly string[];
      /** Of the address's domain; not there: it asks nothing. */
      readonly policy?: InboundPolicy;
    }
  /** The domain is ours, the address is not. */
  | { readonly kind: 'unknown' }
  | { readonly kind: 'suspended' }
  | { readonly kind: 'over-quota' }
  /** The domain is not ours. */
  | { readonly kind: 'remote' };

export interface RecipientDirectory {
  /** `declaredBytes` is MAIL's SIZE, 0 where none was given. Throws unavailable when the directory can't be read. */
  resolveRecipient(address: string, declaredBytes: number): Promise<RecipientVerdict>;
  /** `resolveRecipient` will be called for each of these soon, one after the other: they may be read together now. */
  expectRecipients(addresses: readonly string[]): void;
  /**
   * "postmaster" of the oldest of our domains that has this address, else of the oldest whose catch-all would take it.
   * Null: there is none. Throws unavailable when the directory can't be read.
   */
  findPostmaster(): Promise<string | null>;
  /**
   * May this account send with this envelope sender: its address, one that leads to it alone, or a sub-address. Not
   * while it is suspended.
   */
  maySendAs(accountId: AccountId, address: string): Promise<boolean>;
  /**
   * May this submission login send with this address, at a domain of ours that is in use. Null: may it send at all.
   */
  credentialMaySendAs(credentialId: bigint, address: string | null): Promise<boolean>;
}

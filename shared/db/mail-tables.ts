import type { ColumnType, Generated } from 'kysely';
import type { AccountId, EmailId, MailboxId } from '#shared/base/ids.ts';

type AccountStateTable = {
  readonly account_id: AccountId;
  readonly modseq: Generated<bigint>;
  readonly used_bytes: Generated<bigint>;
  readonly messages: Generated<bigint>;
  readonly log_floor: Generated<bigint>;
  readonly name_floor: Generated<bigint>;
};

type MailboxTable = {
  readonly account_id: AccountId;
  readonly id: Generated<MailboxId>;
  readonly name: string;
  readonly special_use: string | null;
  readonly uidvalidity: Generated<bigint>;
  readonly uidnext: Generated<bigint>;
  readonly highest_modseq: bigint;
  readonly messages: Generated<bigint>;
  readonly unseen: Generated<bigint>;
  readonly size: Generated<bigint>;
  readonly recent_from: Generated<bigint>;
  readonly keywords: Generated<readonly string[]>;
};

type MailboxNameTable = {
  readonly account_id: AccountId;
  readonly name: string;
  readonly uidvalidity: bigint;
};

type SubscriptionTable = { readonly account_id: AccountId; readonly name: string };

type BlobTable = {
  readonly hash: Buffer;
  readonly size: bigint;
  /** Null: the bytes are in `blob_piece`. */
  readonly raw: Buffer | null;
  readonly at: Generated<Date>;
};

type BlobPieceTable = { readonly hash: Buffer; readonly piece: number; readonly data: Buffer };

type EmailTable = {
  readonly account_id: AccountId;
  readonly id: Generated<EmailId>;
  readonly blob_hash: Buffer;
  readonly prefix: Buffer;
  readonly size: bigint;
  readonly envelope: string;
  readonly bodystructure: string;
  readonly parts: string;
  readonly sent_at: Date | null;
  readonly sent_day: string | null;
};

type MessageTable = {
  readonly account_id: AccountId;
  readonly mailbox_id: MailboxId;
  readonly uid: bigint;
  readonly email_id: EmailId;
  readonly size: bigint;
  readonly internal_date: Date;
  readonly save_date: Generated<Date>;
};

type MailboxPageTable = {
  readonly account_id: AccountId;
  readonly mailbox_id: MailboxId;
  readonly page: number;
  readonly present: Buffer;
  readonly flags: Buffer;
  readonly modseqs: Buffer;
  readonly keywords: Buffer | null;
  readonly base_modseq: bigint;
  readonly max_modseq: bigint;
};

type FetchPackTable = {
  readonly account_id: AccountId;
  readonly mailbox_id: MailboxId;
  readonly kind: string;
  readonly page: number;
  readonly present: Buffer;
  readonly data: Buffer;
  readonly at: Generated<Date>;
};

export type ChangeKind = 'added' | 'flags' | 'removed' | 'mailbox-made' | 'mailbox-renamed' | 'mailbox-gone';

type ChangeLogTable = {
  readonly account_id: AccountId;
  readonly modseq: bigint;
  readonly mailbox_id: MailboxId;
  readonly kind: ChangeKind;
  readonly uids: string;
  readonly at: Generated<Date>;
};

type DeliveryBatchTable = {
  readonly id: string;
  readonly at: Generated<Date>;
  readonly result: ColumnType<unknown, string | null, never>;
};

type SearchStateTable = {
  readonly account_id: AccountId;
  readonly version: number;
  readonly indexed_to: Generated<bigint>;
  readonly leased_until: Generated<Date>;
};

type SearchSegmentTable = {
  readonly account_id: AccountId;
  readonly id: Generated<bigint>;
  readonly first_email: bigint;
  readonly emails: number;
  readonly places: Buffer;
  readonly width: number;
  readonly bits: Buffer;
};

/** The tables of 0002-mail.sql, 0004-search-index.sql and 0024-fetch-packs.sql. int8 columns come as bigint. */
export type MailTables = {
  readonly account_state: AccountStateTable;
  readonly mailbox: MailboxTable;
  readonly mailbox_name: MailboxNameTable;
  readonly subscription: SubscriptionTable;
  readonly blob: BlobTable;
  readonly blob_piece: BlobPieceTable;
  readonly email: EmailTable;
  readonly message: MessageTable;
  readonly mailbox_page: MailboxPageTable;
  readonly fetch_pack: FetchPackTable;
  readonly change_log: ChangeLogTable;
  readonly delivery_batch: DeliveryBatchTable;
  readonly search_state: SearchStateTable;
  readonly search_segment: SearchSegmentTable;
};

/** A batch of messages as the arguments of the SQL function store_batch (0002-mail.sql), and its answer. */
import type { AccountId, MailboxId, ModSeq, Uid } from '#shared/base/ids.ts';
import type { ParameterValue } from '#shared/db/value-query.ts';
import type { FlagBits } from '#server/mail/flags.ts';
import { MailError } from '#server/mail/mail-error.ts';
import { encodeParts } from '#server/mime/part-codec.ts';
import type { MessageIndex } from '#server/mime/part.ts';
import type { SpooledMessage } from '#server/mail/ports.ts';
import { boolArray, byteaArray, byteaPieces, int4Array, int8Array, textArray, timestampArray } from './binary-array.ts';
import { noSuchAccount, noSuchMailbox } from './pg-fault.ts';

/** One copy of a message. */
export type BatchItem = {
  readonly message: SpooledMessage;
  readonly accountId: AccountId;
  /** null is INBOX. */
  readonly mailboxId: MailboxId | null;
  /** Instead of an id; of a message alone in its batch. */
  readonly mailboxName?: string;
  readonly prefix: Buffer;
  readonly flags: FlagBits;
  readonly keywords: readonly string[];
  /** null: now. */
  readonly internalDate: Date | null;
};

/** Items that are stored together or not at all. */
export type BatchJob = {
  readonly items: readonly BatchItem[];
  readonly refusesOverQuota: boolean;
  /** The blobs were stored before (`BlobStore.upload`); the batch only names them. */
  readonly isUploaded: boolean;
};

/** Its mailbox is named: it makes a batch of its own. */
export function isNamed({ items }: BatchJob): boolean {
  return items.some(({ mailboxName }) => mailboxName !== undefined);
}

export type Stored = {
  readonly mailboxId: MailboxId;
  readonly uid: Uid;
  readonly modSeq: ModSeq;
  readonly uidValidity: number;
};

/**
 * Why a job was refused; `blob-gone`: an uploaded blob was swept before the batch named it; `busy`: somebody else
 * is writing to one of its accounts.
 */
export type Refusal = MailError | 'blob-gone' | 'busy';

export const storeBatchStatement = {
  name: 'store-batch',
  text:
    'select store_batch($1::uuid, $2::bytea[], $3::int8[], $4::bytea[], $5::int4[], $6::text[], $7::text[], $8::text[], ' +
    '$9::timestamptz[], $10::text[], $11::int4[], $12::int4[], $13::int4[], $14::int8[], $15::int8[], $16::bytea[], ' +
    '$17::int4[], $18::text[], $19::timestamptz[], $20::bool[]) as result',
};

/** A JSON element of store_batch's answer. */
export type BatchAnswer = readonly (
  readonly [mailbox: number, uid: number, modSeq: number, uidValidity: number] | string
)[];

const earliest = Date.UTC(-4000, 0);

export function encodeBatch(id: string, jobs: readonly BatchJob[]): readonly ParameterValue[] {
  const blobs = new Map<string, { readonly place: number; readonly size: number; readonly raw: Buffer | null }>();
  const messages = new Map<SpooledMessage, number>();
  const items: { readonly item: BatchItem; readonly job: number; readonly message: number; readonly email: number }[] =
    [];
  for (const [job, { items: ofJob, isUploaded }] of jobs.entries()) {
    const emails = new SharedEmails();
    for (const item of ofJob) {
      const place = messages.get(item.message) ?? messages.size + 1;
      messages.set(item.message, place);
      const { message } = item;
      const known = blobs.get(message.hash);
      const raw = known?.raw ?? (isUploaded ? null : message.inMemory);
      blobs.set(message.hash, { place: known?.place ?? blobs.size + 1, size: message.size, raw });
      items.push({ item, job, message: place, email: emails.placeOf(item, place, items.length + 1) });
    }
  }
  const blobRows = [...blobs];
  const indexes = [...messages.keys()].map((message) => ({ message, index: message.index }));
  return [
    id,
    byteaArray(blobRows.map(([hash]) => Buffer.from(hash, 'hex'))),
    int8Array(blobRows.map(([, { size }]) => size)),
    byteaPieces(blobRows.map(([, { raw }]) => raw)),
    int4Array(indexes.map(({ message }) => blobs.get(message.hash)?.place ?? 0)),
    textArray(indexes.map(({ index }) => withoutNul(index.envelope))),
    textArray(indexes.map(({ index }) => withoutNul(index.bodystructure))),
    textArray(indexes.map(({ index }) => encodeParts(index.root))),
    timestampArray(indexes.map(({ index }) => storableSentAt(index))),
    textArray(indexes.map(({ index }) => index.sentAt?.day ?? null)),
    int4Array(items.map(({ job }) => job)),
    int4Array(items.map(({ message }) => message)),
    int4Array(items.map(({ email }) => email)),
    int8Array(items.map(({ item }) => item.accountId)),
    int8Array(items.map(({ item }) => placeOf(item))),
    byteaArray(items.map(({ item }) => item.prefix)),
    int4Array(items.map(({ item }) => item.flags)),
    textArray(items.map(({ item }) => item.keywords.join(' '))),
    timestampArray(items.map(({ item }) => item.internalDate)),
    boolArray(items.map(({ job }) => jobs[job]?.refusesOverQuota ?? false)),
  ];
}

/** 0: INBOX. */
function placeOf({ mailboxId, mailboxName }: BatchItem): MailboxId | 0 {
  if (mailboxName !== undefined) throw new Error('a mailbox that is named among others');
  return mailboxId ?? 0;
}

/** The Date field's moment; null: it has none, or one that Postgres can't hold. */
export function storableSentAt({ sentAt }: MessageIndex): Date | null {
  return sentAt && sentAt.at.getTime() > earliest ? sentAt.at : null;
}

/** Each job's items in their order, or why it was refused. */
export function decodeAnswer(jobs: readonly BatchJob[], answer: BatchAnswer): readonly (readonly Stored[] | Refusal)[] {
  let at = 0;
  return jobs.map(({ items }) => {
    const stored: Stored[] = [];
    let refusal: Refusal | null = null;
    for (const row of answer.slice(at, at + items.length)) {
      if (typeof row === 'string') refusal = refusalOf(row);
      else {
        const [mailbox, uid, modSeq, uidValidity] = row;
        stored.push({
          mailboxId: BigInt(mailbox) as MailboxId,
          uid: uid as Uid,
          modSeq: modSeq as ModSeq,
          uidValidity,
        });
      }
    }
    at += items.length;
    return refusal ?? stored;
  });
}

/**
 * Which items share an email (RFC 8474 section 5.1): copies of one message in different mailboxes of one
 * account, under the same trace fields. A second copy in one mailbox is a message of its own.
 */
class SharedEmails {
  readonly #emails = new Map<
    string,
    { readonly place: number; readonly prefix: Buffer; readonly mailboxes: Set<MailboxId | null> }[]
  >();

  /** The place of the item whose email this one, at `place`, shares; `place` itself where there is none. */
  placeOf({ accountId, mailboxId, prefix }: BatchItem, message: number, place: number): number {
    const key = `${accountId} ${message}`;
    const emails = this.#emails.get(key) ?? [];
    this.#emails.set(key, emails);
    const shared = emails.find((email) => !email.mailboxes.has(mailboxId) && email.prefix.equals(prefix));
    if (!shared) {
      emails.push({ place, prefix, mailboxes: new Set([mailboxId]) });
      return place;
    }
    shared.mailboxes.add(mailboxId);
    return shared.place;
  }
}

/** Postgres has no NUL in text, nor has IMAP in a string (RFC 3501 section 9, CHAR8): the length must stay. */
export function withoutNul(text: string): string {
  return text.includes('\0') ? text.replaceAll('\0', ' ') : text;
}

function refusalOf(reason: string): Refusal {
  const [kind, limit] = reason.split(' ');
  switch (kind) {
    case 'blob-gone':
    case 'busy':
      return kind;
    case 'no-such-account':
      return noSuchAccount();
    case 'no-such-mailbox':
      return noSuchMailbox();
    case 'over-quota':
      return new MailError({ kind: 'over-quota', limitBytes: Number(limit) });
    case 'uids-used-up':
      return new MailError({ kind: 'limit', reason: 'the mailbox has used up its UIDs' });
    default:
      throw new Error(`store_batch answered ${reason}`);
  }
}

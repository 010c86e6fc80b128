/** A batch of one message for one mailbox, as the arguments of store_message (0027-single-writes.sql). */
import type { ValueStatement } from '#shared/db/value-query.ts';
import { encodeParts } from '#server/mime/part-codec.ts';
import { timestampBytes } from './binary-value.ts';
import { storableSentAt, withoutNul, type BatchJob } from './pg-batch.ts';

const statementOf = (mailboxType: string): string =>
  'select store_message($1::uuid, $2::bytea, $3::int8, $4::bytea, $5::text, $6::text, $7::text, $8::timestamptz, $9::text, ' +
  `$10::int8, $11::${mailboxType}, $12::bytea, $13::int4, $14::timestamptz, $15::bool) as result`;

const storeMessageStatement = { name: 'store-batch-single', text: statementOf('int8') };
/** 0030-append-by-name.sql. */
const storeNamedStatement = { name: 'store-batch-single-named', text: statementOf('text') };

/** Null: it is more than that, or the message has keywords. */
export function singleMessage(id: string, jobs: readonly BatchJob[]): ValueStatement | null {
  const [job, another] = jobs;
  const [item, more] = job?.items ?? [];
  if (!job || !item || another || more || item.keywords.length > 0) return null;
  const { message, internalDate } = item;
  const { index } = message;
  const sentAt = storableSentAt(index);
  return {
    ...(item.mailboxName === undefined ? storeMessageStatement : storeNamedStatement),
    values: [
      id,
      Buffer.from(message.hash, 'hex'),
      message.size,
      job.isUploaded ? null : message.inMemory,
      withoutNul(index.envelope),
      withoutNul(index.bodystructure),
      encodeParts(index.root),
      sentAt && timestampBytes(sentAt),
      index.sentAt?.day ?? null,
      item.accountId,
      item.mailboxName ?? item.mailboxId ?? 0,
      item.prefix,
      item.flags,
      internalDate && timestampBytes(internalDate),
      job.refusesOverQuota,
    ],
  };
}

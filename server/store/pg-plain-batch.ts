/** Batches of new mail and nothing else, for the short forms of store_batch (0005-receive-speed.sql, 0019-receive-batches.sql). */
import type { AccountId, MailboxId } from '#shared/base/ids.ts';
import type { ParameterValue, ValueStatement } from '#shared/db/value-query.ts';
import { flagBits } from '#server/mail/flags.ts';
import { boolArray, byteaArray, int4Array, int8Array } from './binary-array.ts';
import { encodeBatch, type BatchItem, type BatchJob } from './pg-batch.ts';

const generalParameters =
  '$1::uuid, $2::bytea[], $3::int8[], $4::bytea[], $5::int4[], $6::text[], $7::text[], $8::text[], ' +
  '$9::timestamptz[], $10::text[], $11::int4[], $12::int4[], $13::int4[], $14::int8[], $15::int8[], $16::bytea[], ' +
  '$17::int4[], $18::text[], $19::timestamptz[], $20::bool[]';

const plainParameters =
  `${generalParameters}, $21::int8[], $22::int8[], $23::int4[], $24::int4[], $25::int8[], ` +
  '$26::bytea[], $27::int4[], $28::int4[]';

/** A few simple statements for each mailbox. */
export const storeSmallBatchStatement = {
  name: 'store-batch-small',
  text: `select store_batch(${plainParameters}) as result`,
};

/** One statement for each table, however many mailboxes. */
export const storePlainBatchStatement = {
  name: 'store-batch-plain',
  text: `select store_batch(${plainParameters}, $29::bool[]) as result`,
};

/** With more mailboxes one statement for all of them costs less than some for each. */
const maxSmallBoxes = 4;

/** The form that costs least; null: the general one. */
export function plainBatch(id: string, jobs: readonly BatchJob[]): ValueStatement | null {
  const values = encodePlainBatch(id, jobs);
  if (values === null) return null;
  const accounts = new Set(jobs.flatMap(({ items }) => items.map(({ accountId }) => accountId)));
  const isSmall =
    accounts.size <= maxSmallBoxes &&
    jobs.every(({ refusesOverQuota, isUploaded }) => !refusesOverQuota && !isUploaded);
  return isSmall
    ? { ...storeSmallBatchStatement, values: values.slice(0, -1) }
    : { ...storePlainBatchStatement, values };
}

type Box = { readonly mailboxId: MailboxId | null; readonly items: BatchItem[]; isChecked: boolean; place: number };

/** For `storePlainBatchStatement`. Null: something in the jobs needs the general form. */
export function encodePlainBatch(id: string, jobs: readonly BatchJob[]): readonly ParameterValue[] | null {
  const boxes = new Map<AccountId, Box>();
  const places: { readonly box: Box; readonly offset: number }[] = [];
  for (const job of jobs) {
    const accounts = new Set<AccountId>();
    for (const item of job.items) {
      // Two copies in one account may share an email.
      if (item.keywords.length > 0 || accounts.has(item.accountId)) return null;
      accounts.add(item.accountId);
      const box = boxes.get(item.accountId) ?? { mailboxId: item.mailboxId, items: [], isChecked: false, place: 0 };
      if (box.mailboxId !== item.mailboxId) return null;
      if (job.refusesOverQuota) box.isChecked = true;
      boxes.set(item.accountId, box);
      places.push({ box, offset: box.items.length });
      box.items.push(item);
    }
  }
  // In the order in which every writer takes the accounts' locks.
  const ordered = [...boxes].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [i, [, box]] of ordered.entries()) box.place = i + 1;
  return [
    ...encodeBatch(id, jobs),
    int8Array(ordered.map(([accountId]) => accountId)),
    int8Array(ordered.map(([, { mailboxId }]) => mailboxId ?? 0)),
    int4Array(ordered.map(([, { items }]) => items.length)),
    int4Array(ordered.map(([, { items }]) => items.filter(({ flags }) => (flags & flagBits.seen) === 0).length)),
    int8Array(
      ordered.map(([, { items }]) => items.reduce((sum, { message, prefix }) => sum + message.size + prefix.length, 0)),
    ),
    byteaArray(ordered.map(([, { items }]) => flagBytes(items))),
    int4Array(places.map(({ box }) => box.place)),
    int4Array(places.map(({ offset }) => offset)),
    boolArray(ordered.map(([, { isChecked }]) => isChecked)),
  ];
}

/** Two bytes a message, as the pages have them. */
function flagBytes(items: readonly BatchItem[]): Buffer {
  const bytes = Buffer.alloc(items.length * 2);
  for (const [i, { flags }] of items.entries()) bytes.writeUInt16BE(flags, i * 2);
  return bytes;
}

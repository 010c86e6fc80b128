/** Reads an account's emails and makes a segment of them. */
import { sql, type Kysely } from 'kysely';
import type { AccountId, BlobHash } from '#shared/base/ids.ts';
import type { CopiedRow } from '#shared/db/copy-out.ts';
import type { Database } from '#shared/db/schema.ts';
import { MailError } from '#server/mail/mail-error.ts';
import { decodeParts } from '#server/mime/part-codec.ts';
import type { Part } from '#server/mime/part.ts';
import { bodyText, foldText, headerText, searchedEnd } from '#server/mime/search-text.ts';
import { maxSharedPrefix, SegmentBuilder } from '#server/search/segment-builder.ts';
import { fitsBeside, type Segment } from '#server/search/segment.ts';
import { FairTurns } from './fair-turns.ts';
import { readBlobs, readPieces } from './pg-blobs.ts';
import { refusing } from './pg-fault.ts';
import { columnsOf, KnownColumns } from './search-columns.ts';

/** Emails read at a time, of which there are twice as many in memory. */
const emailsPerRead = 128;
/** Messages up to this size are read with their rows; of larger ones what is looked at, in statements of so many bytes. */
const smallBytes = 16 * 1024;
const bytesPerRead = 1024 * 1024;
/** When a segment is full: a matrix of about 2 MiB. */
const maxColumns = 4096;
const maxEmails = 4096;

export type Built = {
  /** Null: the emails are gone. */
  readonly segment: Segment | null;
  /** The last email looked at. */
  readonly to: number;
  readonly emails: number;
  /** More emails wait. */
  readonly hasMore: boolean;
};

/** Of the emails above `from`; null: there is none. Rejects with the signal's reason when it aborts. */
export async function buildSegment(
  db: Kysely<Database>,
  accountId: AccountId,
  from: number,
  signal: AbortSignal,
  known = new KnownColumns(),
): Promise<Built | null> {
  const builder = new SegmentBuilder();
  const turns = new FairTurns();
  let to = from;
  for await (const emails of emailsAfter(db, accountId, from, known)) {
    for (const email of emails) {
      const isFull = builder.columns >= maxColumns || builder.emails >= maxEmails;
      if (isFull || !fitsBeside(builder.firstEmail ?? email.id, email.id)) return builtOf(builder, to, true);
      await turns.pause(signal);
      if (!appendShared(builder, email, known)) await addEmail(builder, db, email, () => turns.pause(signal));
      to = email.id;
    }
  }
  return to === from ? null : builtOf(builder, to, false);
}

function builtOf(builder: SegmentBuilder, to: number, hasMore: boolean): Built {
  return { segment: builder.emails === 0 ? null : builder.build(), to, emails: builder.emails, hasMore };
}

type Email = {
  readonly id: number;
  readonly prefix: Buffer;
  readonly hash: BlobHash;
  readonly rawSize: number;
  readonly isInPieces: boolean;
  readonly root: Part;
  /** As far as it is looked at; null: in pieces, known already, or gone. */
  raw: Buffer | null;
};

/** In the order of their ids. While some are looked at, the next ones are on their way. */
async function* emailsAfter(
  db: Kysely<Database>,
  accountId: AccountId,
  from: number,
  known: KnownColumns,
): AsyncGenerator<readonly Email[], void, void> {
  let reading: Promise<readonly Email[]> | null = readEmails(db, accountId, from);
  while (reading !== null) {
    const emails: readonly Email[] = await reading;
    const last = emails.at(-1);
    reading = last && emails.length === emailsPerRead ? readEmails(db, accountId, last.id) : null;
    // Where it fails, whoever waits for it hears of it.
    reading?.catch(() => undefined);
    for (const group of groupsOf(emails, known)) {
      await readGroup(db, group, known);
      yield group;
    }
  }
}

async function readEmails(db: Kysely<Database>, accountId: AccountId, after: number): Promise<readonly Email[]> {
  // COPY takes no parameters; both are numbers.
  const { rows } = await sql<CopiedRow>`${sql.raw(`copy (
    select e.id, e.prefix, e.parts, e.blob_hash, b.size, b.is_in_pieces, b.raw
    from email e, lateral (
      select size, raw is null as is_in_pieces, case when size <= ${smallBytes} then raw end as raw
      from blob where hash = e.blob_hash offset 0) b
    where e.account_id = ${BigInt(accountId)} and e.id > ${after}
    order by e.id limit ${emailsPerRead}) to stdout (format binary)`)}`.execute(db);
  return rows.map(([id, prefix, parts, hash, size, isInPieces, raw]) => ({
    id: Number(id?.readBigInt64BE()),
    prefix: prefix as Buffer,
    hash: hash?.toString('hex') as BlobHash,
    rawSize: Number(size?.readBigInt64BE()),
    isInPieces: isInPieces?.[0] === 1,
    root: decodeParts((parts as Buffer).toString()),
    raw: raw ?? null,
  }));
}

/** Each with no more than `bytesPerRead` to be read, unless it is one email. */
function groupsOf(emails: readonly Email[], known: KnownColumns): readonly (readonly Email[])[] {
  const groups: Email[][] = [];
  let bytes = Infinity;
  for (const email of emails) {
    const size = isToBeRead(email, known) ? searchedEnd(email.root) : 0;
    if (bytes + size > bytesPerRead) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)?.push(email);
    bytes += size;
  }
  return groups;
}

function isToBeRead({ raw, isInPieces, hash }: Email, known: KnownColumns): boolean {
  return raw === null && !isInPieces && !known.has(hash);
}

async function readGroup(db: Kysely<Database>, group: readonly Email[], known: KnownColumns): Promise<void> {
  const wanted = new Map<BlobHash, number>();
  for (const email of group) if (isToBeRead(email, known)) wanted.set(email.hash, searchedEnd(email.root));
  const blobs = [...wanted].map(([hash, bytes]) => ({ hash, bytes }));
  const raws = await refusing(readBlobs(db, blobs));
  for (const email of group) email.raw ??= raws.get(email.hash) ?? null;
}

/** False: its text isn't at hand, or can't be told apart from what this delivery put before it. */
function appendShared(builder: SegmentBuilder, { id, prefix, hash, root, raw }: Email, known: KnownColumns): boolean {
  const before = prefix.toString('latin1');
  if (before !== '' && !before.endsWith('\n')) return false;
  const text = foldText(headerText(before));
  if (text.length > maxSharedPrefix) return false;
  const columns = known.get(hash) ?? (raw === null ? null : columnsOf(root, raw));
  if (columns === null) return false;
  known.put(hash, columns);
  builder.append(id, text, columns);
  return true;
}

/** Exactly the texts in which match-content.ts looks. */
async function addEmail(
  builder: SegmentBuilder,
  db: Kysely<Database>,
  email: Email,
  pause: () => Promise<void>,
): Promise<void> {
  const { id, prefix, root } = email;
  let hasBegun = false;
  try {
    const chunks = [prefix];
    for await (const chunk of read(db, email, 0, root.bodyStart)) chunks.push(chunk);
    builder.begin(id, foldText(headerText(Buffer.concat(chunks).toString('latin1'))));
    hasBegun = true;
    for await (const piece of bodyText(root, (start, end) => read(db, email, start, end))) {
      await pause();
      if (builder.isFull) break;
      builder.add(foldText(piece));
    }
    builder.end();
  } catch (error) {
    // Mostly it was removed, and its bytes swept. Whatever it was: nothing is denied of it.
    if (!(error instanceof MailError) || error.fault.kind !== 'unavailable') throw error;
    if (!hasBegun) builder.begin(id, '');
    builder.end(true);
  }
}

/** In the same chunks as contentsOf reads it. */
async function* read(
  db: Kysely<Database>,
  email: Email,
  start: number,
  end: number,
): AsyncGenerator<Buffer, void, void> {
  const to = Math.min(end, email.rawSize);
  if (email.isInPieces) {
    yield* readPieces(db, email.hash, start, to);
    return;
  }
  // Its columns are known, and can't be taken.
  email.raw ??= (await refusing(readBlobs(db, [{ hash: email.hash, bytes: email.rawSize }]))).get(email.hash) ?? null;
  if (email.raw === null) throw new MailError({ kind: 'unavailable' });
  if (start < to) yield email.raw.subarray(start, to);
}

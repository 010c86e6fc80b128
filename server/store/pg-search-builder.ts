/** Reads an account's emails and makes a segment of them. */
import { sql, type Kysely } from 'kysely';
import type { AccountId, BlobHash } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { MessageContent } from '#server/mail/ports.ts';
import { decodeParts } from '#server/mime/part-codec.ts';
import { bodyText, foldText, headerText } from '#server/mime/search-text.ts';
import { SegmentBuilder } from '#server/search/segment-builder.ts';
import { fitsBeside, type Segment } from '#server/search/segment.ts';
import { FairTurns } from './fair-turns.ts';
import { readBlobs, readPieces } from './pg-blobs.ts';
import { refusing } from './pg-fault.ts';

/** Emails read at a time, and bytes of small ones, of which there are twice as many in memory. */
const emailsPerRead = 512;
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
): Promise<Built | null> {
  const builder = new SegmentBuilder();
  const turns = new FairTurns();
  let to = from;
  for await (const { id, content } of emailsAfter(db, accountId, from)) {
    const isFull = builder.columns >= maxColumns || builder.emails >= maxEmails;
    if (isFull || !fitsBeside(builder.firstEmail ?? id, id)) return builtOf(builder, to, true);
    await turns.pause(signal);
    await addEmail(builder, id, content, () => turns.pause(signal));
    to = id;
  }
  return to === from ? null : builtOf(builder, to, false);
}

function builtOf(builder: SegmentBuilder, to: number, hasMore: boolean): Built {
  return { segment: builder.emails === 0 ? null : builder.build(), to, emails: builder.emails, hasMore };
}

type EmailRow = {
  readonly id: bigint;
  readonly prefix: Buffer;
  readonly parts: string;
  readonly hash: BlobHash;
  readonly raw_size: bigint;
  readonly in_pieces: boolean;
};

type Email = { readonly id: number; readonly content: MessageContent };
type Raws = Promise<ReadonlyMap<BlobHash, Buffer>>;

/** In the order of their ids. While the bytes of some are looked at, those of the next ones are on their way. */
async function* emailsAfter(
  db: Kysely<Database>,
  accountId: AccountId,
  from: number,
): AsyncGenerator<Email, void, void> {
  for (let after = from; ;) {
    const rows = await readEmails(db, accountId, after);
    const groups = groupsOf(rows);
    let next: Raws | null = null;
    for (const [place, group] of groups.entries()) {
      const raws = await (next ?? readGroup(db, group));
      next = place + 1 < groups.length ? readGroup(db, groups[place + 1] ?? []) : null;
      // Where it fails, whoever waits for it hears of it.
      next?.catch(() => undefined);
      for (const row of group) yield { id: Number(row.id), content: contentOf(db, row, raws.get(row.hash) ?? null) };
    }
    const last = rows.at(-1);
    if (!last || rows.length < emailsPerRead) return;
    after = Number(last.id);
  }
}

async function readEmails(db: Kysely<Database>, accountId: AccountId, after: number): Promise<readonly EmailRow[]> {
  const { rows } = await sql<EmailRow>`/*read-emails*/
    select e.id, e.prefix, e.parts, encode(e.blob_hash, 'hex') as hash, b.size as raw_size, b.raw is null as in_pieces
    from email e, lateral (select size, raw from blob where hash = e.blob_hash offset 0) b
    where e.account_id = ${accountId} and e.id > ${after}
    order by e.id limit ${emailsPerRead}`.execute(db);
  return rows;
}

/** Each with no more than `bytesPerRead`, unless it is one email. */
function groupsOf(rows: readonly EmailRow[]): readonly (readonly EmailRow[])[] {
  const groups: EmailRow[][] = [];
  let bytes = Infinity;
  for (const row of rows) {
    const size = row.in_pieces ? 0 : Number(row.raw_size);
    if (bytes + size > bytesPerRead) {
      groups.push([]);
      bytes = 0;
    }
    groups.at(-1)?.push(row);
    bytes += size;
  }
  return groups;
}

function readGroup(db: Kysely<Database>, group: readonly EmailRow[]): Raws {
  const small = new Map(group.filter((row) => !row.in_pieces).map(({ hash, raw_size }) => [hash, Number(raw_size)]));
  return refusing(
    readBlobs(
      db,
      [...small].map(([hash, bytes]) => ({ hash, bytes })),
    ),
  );
}

/** `raw` null: it is in pieces, or gone. Read in the same chunks as contentsOf reads it. */
function contentOf(db: Kysely<Database>, row: EmailRow, raw: Buffer | null): MessageContent {
  const { prefix, hash } = row;
  const rawSize = Number(row.raw_size);
  const read = (start: number, end: number): AsyncIterable<Buffer> =>
    raw === null ? readPieces(db, hash, start, Math.min(end, rawSize)) : slice(raw, start, end);
  return { prefix, rawSize, root: decodeParts(row.parts), read };
}

async function* slice(raw: Buffer, start: number, end: number): AsyncGenerator<Buffer, void, void> {
  if (start < Math.min(end, raw.length)) yield raw.subarray(start, end);
}

/** Exactly the texts in which match-content.ts looks. */
async function addEmail(
  builder: SegmentBuilder,
  emailId: number,
  content: MessageContent,
  pause: () => Promise<void>,
): Promise<void> {
  let hasBegun = false;
  try {
    const chunks = [content.prefix];
    for await (const chunk of content.read(0, content.root.bodyStart)) chunks.push(chunk);
    builder.begin(emailId, foldText(headerText(Buffer.concat(chunks).toString('latin1'))));
    hasBegun = true;
    for await (const piece of bodyText(content.root, (start, end) => content.read(start, end))) {
      await pause();
      if (builder.isFull) break;
      builder.add(foldText(piece));
    }
    builder.end();
  } catch (error) {
    // Mostly it was removed, and its bytes swept. Whatever it was: nothing is denied of it.
    if (!(error instanceof MailError) || error.fault.kind !== 'unavailable') throw error;
    if (!hasBegun) builder.begin(emailId, '');
    builder.end(true);
  }
}

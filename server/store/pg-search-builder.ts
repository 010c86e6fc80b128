/** Reads an account's emails and makes a segment of them. */
import { sql, type Kysely } from 'kysely';
import type { AccountId, BlobHash, EmailId } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { MailError } from '#server/mail/mail-error.ts';
import type { MessageContent } from '#server/mail/ports.ts';
import { bodyText, foldText, headerText } from '#server/mime/search-text.ts';
import { SegmentBuilder } from '#server/search/segment-builder.ts';
import { fitsBeside, type Segment } from '#server/search/segment.ts';
import { FairTurns } from './fair-turns.ts';
import { contentsOf } from './pg-content.ts';

/** Emails read at a time; their bytes come in groups of a megabyte (pg-content.ts). */
const emailsPerRead = 512;
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
  for (;;) {
    const rows = await readEmails(db, accountId, to);
    const contents = contentsOf(db, rows);
    for (const row of rows) {
      const id = Number(row.email_id);
      const isFull = builder.columns >= maxColumns || builder.emails >= maxEmails;
      if (isFull || !fitsBeside(builder.firstEmail ?? id, id)) return builtOf(builder, to, true);
      await addEmail(builder, id, contents.get(id) as MessageContent, () => turns.pause(signal));
      to = id;
    }
    if (rows.length < emailsPerRead) return to === from ? null : builtOf(builder, to, false);
  }
}

function builtOf(builder: SegmentBuilder, to: number, hasMore: boolean): Built {
  return { segment: builder.emails === 0 ? null : builder.build(), to, emails: builder.emails, hasMore };
}

type EmailRow = {
  readonly uid: bigint;
  readonly email_id: EmailId;
  readonly prefix: Buffer;
  readonly parts: string;
  readonly hash: BlobHash;
  readonly raw_size: bigint;
  readonly in_pieces: boolean;
};

/** As contentsOf wants them, the email's id in the UID's place. */
async function readEmails(db: Kysely<Database>, accountId: AccountId, after: number): Promise<readonly EmailRow[]> {
  const { rows } = await sql<EmailRow>`/*read-emails*/
    select e.id as uid, e.id as email_id, e.prefix, e.parts, encode(e.blob_hash, 'hex') as hash, b.size as raw_size,
      b.raw is null as in_pieces
    from email e, lateral (select size, raw from blob where hash = e.blob_hash offset 0) b
    where e.account_id = ${accountId} and e.id > ${after}
    order by e.id limit ${emailsPerRead}`.execute(db);
  return rows;
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

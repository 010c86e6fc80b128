/** Segments of the search index as rows. Only whoever leased the account writes them; each write checks that anew. */
import { sql, type Kysely } from 'kysely';
import type { AccountId } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { transact } from '#shared/db/tx.ts';
import { fitsBeside, joinSegments, type Segment } from '#server/search/segment.ts';
import { int8Array } from './binary-array.ts';
import { indexVersion } from './pg-search-index.ts';
import { joinedWidth, leaseSeconds } from './pg-search-queue.ts';

export type Indexed = {
  readonly accountId: AccountId;
  /** What the account was indexed to when the segment was begun, and what it is with it. */
  readonly from: number;
  readonly to: number;
};

/**
 * `segment` null: nothing to add, the emails are gone. `isLast`: the lease is given back. False: somebody else has indexed
 * the account meanwhile; nothing is written.
 */
export async function addSegment(
  db: Kysely<Database>,
  { accountId, from, to }: Indexed,
  segment: Segment | null,
  isLast: boolean,
): Promise<boolean> {
  const moved = sql`
    update search_state set indexed_to = ${to}, leased_until = now() + make_interval(secs => ${isLast ? 0 : leaseSeconds})
    where account_id = ${accountId} and indexed_to = ${from} and version = ${indexVersion}`;
  if (segment === null) {
    const { rows } = await sql`/*move-index*/ ${moved} returning 1`.execute(db);
    return rows.length > 0;
  }
  const { firstEmail, emails, places, width, bits } = segment;
  const { rows } = await sql`/*move-and-add-segment*/ with moved as (${moved} returning account_id)
    insert into search_segment (account_id, first_email, emails, places, width, bits)
    select account_id, ${firstEmail}::int8, ${emails}::int4, ${places}::bytea, ${width}::int4, ${bits}::bytea from moved
    returning 1`.execute(db);
  return rows.length > 0;
}

/** Joins small segments that follow one another, so that a search reads few. */
export async function joinSmallSegments(db: Kysely<Database>, accountId: AccountId): Promise<void> {
  const { rows } = await sql<{ id: bigint; first_email: bigint; width: number }>`/*list-segments*/
    select id, first_email, width from search_segment where account_id = ${accountId} order by first_email`.execute(db);
  let run: (typeof rows)[number][] = [];
  let width = 0;
  for (const row of rows) {
    const first = run[0] ?? row;
    if (row.width >= joinedWidth || !fitsBeside(Number(first.first_email), Number(row.first_email) + 2 ** 31)) {
      run = [];
      width = 0;
      continue;
    }
    run.push(row);
    width += row.width;
    if (width < joinedWidth) continue;
    await join(
      db,
      accountId,
      run.map(({ id }) => id),
    );
    run = [];
    width = 0;
  }
}

async function join(db: Kysely<Database>, accountId: AccountId, ids: readonly bigint[]): Promise<void> {
  const segments: Segment[] = [];
  for (const id of ids) {
    const { rows } = await sql<{ first_email: bigint; emails: number; places: Buffer; width: number; bits: Buffer }>`
      /*read-segment*/ select first_email, emails, places, width, bits
      from search_segment where account_id = ${accountId} and id = ${id}`.execute(db);
    if (!rows[0]) return;
    const { first_email, ...segment } = rows[0];
    segments.push({ firstEmail: Number(first_email), ...segment });
  }
  const joined = joinSegments(segments);
  await transact(db, async (tx) => {
    // Who drops the account's index has done so, or waits and sees what is written here.
    await sql`/*hold-index*/ select from search_state where account_id = ${accountId} for update`.execute(tx);
    const { rows } = await sql`/*drop-segments*/
      delete from search_segment where account_id = ${accountId} and id = any (${int8Array(ids)}::int8[]) returning 1`.execute(
      tx,
    );
    // Somebody else has joined or dropped them: theirs are right.
    if (rows.length < ids.length) throw new SegmentsGone();
    await insertSegment(tx, accountId, joined);
  }).catch((error: unknown) => {
    if (!(error instanceof SegmentsGone)) throw error;
  });
}

/** Takes the transaction back. */
class SegmentsGone extends Error {
  override readonly name = 'SegmentsGone';
}

async function insertSegment(tx: Kysely<Database>, accountId: AccountId, segment: Segment): Promise<void> {
  const { firstEmail, emails, places, width, bits } = segment;
  await sql`/*add-segment*/
    insert into search_segment (account_id, first_email, emails, places, width, bits)
    values (${accountId}, ${firstEmail}, ${emails}, ${places}, ${width}, ${bits})`.execute(tx);
}

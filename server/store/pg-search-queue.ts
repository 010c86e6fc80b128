/**
 * Whose mail waits to be put into the search index. Nothing is queued when mail is stored: what waits are the emails above
 * the id that the account is indexed to, so a crash loses nothing, nor does a server that knows no index.
 */
import { sql, type Kysely } from 'kysely';
import type { AccountId } from '#shared/base/ids.ts';
import type { Database } from '#shared/db/schema.ts';
import { transact } from '#shared/db/tx.ts';
import { int8Array } from './binary-array.ts';
import { indexVersion } from './pg-search-index.ts';

/** An account's new mail is scanned until it is so much; then it is worth a segment. */
export const worthwhile = { emails: 512, bytes: 4 * 1024 * 1024 } as const;
/** The same where no more comes: segments are small then, and joined sooner or later. */
export const worthwhileAtRest = { emails: 64, bytes: 512 * 1024 } as const;
/** Emails counted of one account: more don't matter. */
const maxCounted = 20_000;
/** Longer than a segment takes to make; each one written begins it anew. */
export const leaseSeconds = 30;
/** The index is made anew where it has so many times more emails than the account. */
const deadFactor = 2;
/** Bytes of a row: segments below are joined once together they reach it, and none gets more than double. */
export const joinedWidth = 512;

/** What an account's index has when its lease begins. */
export type Claimed = {
  /** The id that it is indexed to. */
  readonly to: number;
  /** Its segments below `joinedWidth`, and the sum of their widths. */
  readonly narrow: number;
  readonly narrowWidth: number;
};

export type Waiting = { readonly accountId: AccountId; readonly emails: number };

/** Accounts with `enough` new mail, the one with the most first. `accounts` null: of all. */
export async function findWaiting(
  db: Kysely<Database>,
  accounts: readonly AccountId[] | null,
  enough: typeof worthwhile | typeof worthwhileAtRest,
): Promise<readonly Waiting[]> {
  const { rows } = await sql<{
    account_id: AccountId;
    emails: bigint;
  }>`${sql.raw(`/*find-waiting-${accounts === null ? 'all' : 'some'}*/`)}
    select a.account_id, w.emails
    from ${
      accounts === null
        ? sql`(select account_id from account_state where messages >= ${enough.emails} or used_bytes >= ${enough.bytes}) a`
        : sql`unnest(${int8Array(accounts)}::int8[]) a (account_id)`
    }
    left join search_state t on t.account_id = a.account_id, lateral (
      select count(*) as emails, coalesce(sum(n.size), 0) as bytes from (
        select size from email
        where account_id = a.account_id and id > case when t.version = ${indexVersion} then t.indexed_to else 0 end
        order by id limit ${maxCounted}) n
      offset 0) w
    where coalesce(t.version, 0) <= ${indexVersion} and (w.emails >= ${enough.emails} or w.bytes >= ${enough.bytes})
    order by w.emails desc`.execute(db);
  return rows.map((row) => ({ accountId: row.account_id, emails: Number(row.emails) }));
}

/**
 * Takes the account for `leaseSeconds`. Null: another server has it, or it is indexed by a newer one, or there is no such
 * account. An index of an older form, or one that is mostly of mail that is gone, is dropped.
 */
export async function claim(db: Kysely<Database>, accountId: AccountId): Promise<Claimed | null> {
  const { rows } = await sql<{
    version: number;
    indexed_to: bigint;
    segments: readonly [emails: bigint, narrow: bigint, narrowWidth: bigint];
    messages: bigint | null;
  }>`/*claim-index*/
    insert into search_state as t (account_id, version, leased_until)
      -- Locked against its removal, which would miss what we write after it.
      select id, ${indexVersion}, now() + make_interval(secs => ${leaseSeconds}) from account where id = ${accountId} for key share
    on conflict (account_id) do update set leased_until = now() + make_interval(secs => ${leaseSeconds})
      where t.leased_until <= now() and t.version <= ${indexVersion}
    returning version, indexed_to, (select a.messages from account_state a where a.account_id = t.account_id) as messages, (
      select array[coalesce(sum(s.emails), 0), count(*) filter (where s.width < ${joinedWidth}),
          coalesce(sum(s.width) filter (where s.width < ${joinedWidth}), 0)]::int8[]
      from search_segment s where s.account_id = t.account_id) as segments`.execute(db);
  const [row] = rows;
  if (!row) return null;
  const [emails, narrow, narrowWidth] = row.segments.map(Number) as [number, number, number];
  const isDead = row.messages !== null && emails > deadFactor * (Number(row.messages) + worthwhileAtRest.emails);
  if (row.version === indexVersion && !isDead) return { to: Number(row.indexed_to), narrow, narrowWidth };
  await dropIndex(db, [accountId]);
  return { to: 0, narrow: 0, narrowWidth: 0 };
}

export async function release(db: Kysely<Database>, accountId: AccountId): Promise<void> {
  await sql`update search_state set leased_until = now() where account_id = ${accountId}`.execute(db);
}

/** Their mail is scanned until it is indexed anew. Null: of all accounts. Resolves with how many had an index. */
export function dropIndex(db: Kysely<Database>, accounts: readonly AccountId[] | null): Promise<number> {
  const which = accounts === null ? sql`true` : sql`account_id = any (${int8Array(accounts)}::int8[])`;
  return transact(db, async (tx) => {
    // First this, which waits for who is writing a segment: the next statement sees it.
    const { rows } = await sql`
      update search_state set indexed_to = 0, version = ${indexVersion} where ${which} returning 1`.execute(tx);
    await sql`delete from search_segment where ${which}`.execute(tx);
    return rows.length;
  });
}

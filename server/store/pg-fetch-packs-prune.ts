import { sql, type Kysely } from 'kysely';
import type { Database } from '#shared/db/schema.ts';

/** What is still asked for is made again. */
const keptSeconds = 90 * 24 * 3600;
/** A row is a few hundred bytes without its data, which nothing looks at here. */
const packsAtOnce = 5_000;

type Key = { readonly account_id: bigint; readonly mailbox_id: bigint; readonly page: number; readonly kind: string };

/** Removes packs that have texts of messages which are gone, lack some that are there, or are old. */
export async function pruneFetchPacks(db: Kysely<Database>, signal: AbortSignal): Promise<number> {
  let removed = 0;
  let after: Key = { account_id: 0n, mailbox_id: 0n, page: 0, kind: '' };
  for (let last: Key | null = after; last !== null && !signal.aborted;) {
    after = last;
    const { rows } = await sql<Key & { readonly gone: bigint }>`
      with part as materialized (
        select f.account_id, f.mailbox_id, f.page, f.kind,
          f.at < now() - make_interval(secs => ${keptSeconds}) or p.present is distinct from f.present as is_old
        from fetch_pack f left join mailbox_page p
          on p.account_id = f.account_id and p.mailbox_id = f.mailbox_id and p.page = f.page
        where (f.account_id, f.mailbox_id, f.page, f.kind)
          > (${after.account_id}::int8, ${after.mailbox_id}::int8, ${after.page}::int4, ${after.kind}::text collate "C")
        order by f.account_id, f.mailbox_id, f.page, f.kind limit ${packsAtOnce}
      ), gone as (
        delete from fetch_pack f using part s
        where s.is_old and (f.account_id, f.mailbox_id, f.page, f.kind) = (s.account_id, s.mailbox_id, s.page, s.kind)
        returning f.page)
      select s.account_id, s.mailbox_id, s.page, s.kind, (select count(*) from gone) as gone
      from part s order by s.account_id desc, s.mailbox_id desc, s.page desc, s.kind desc limit 1`.execute(db);
    last = rows[0] ?? null;
    removed += Number(rows[0]?.gone ?? 0n);
  }
  return removed;
}

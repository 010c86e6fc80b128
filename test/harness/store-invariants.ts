/**
 * What must hold in a store's database at every moment, whatever happened to it before. Each rule is a query for
 * the rows that break it; all look at one snapshot, so a database in use may be asked too.
 */
import pg from 'pg';

/** Rows shown of those that break a rule. */
const shown = 5;

/**
 * `slot`: a row for each UID that a page has room for, also those that were never in use (`place` 0: above the
 * page's base). `sized`: the messages with the bytes that count for the quota.
 */
const views = `
  with slot as materialized (
    select p.account_id, p.mailbox_id, p.page, p.page::bigint * 256 + s as uid, o.place, p.base_modseq + o.place as modseq,
        get_bit(p.present, s) = 1 as is_there, get_byte(p.flags, s * 2) * 256 + get_byte(p.flags, s * 2 + 1) as flags
      from mailbox_page p, generate_series(0, 255) s, lateral (
        select ('x' || encode(substring(p.modseqs from s * 4 + 1 for 4), 'hex'))::bit(32)::bigint as place) o
  ), sized as materialized (
    select m.account_id, m.mailbox_id, m.uid, e.size
      from message m join email e on e.account_id = m.account_id and e.id = m.email_id
  )`;

const rules: Readonly<Record<string, string>> = {
  'an account has its counters, and only an account has them': `
    select a.id, s.account_id from account a full join account_state s on s.account_id = a.id
      where a.id is null or s.account_id is null`,
  'what belongs to an account goes with it': `
    select * from (
      select 'mailbox' as row, account_id from mailbox union all select 'mailbox_name', account_id from mailbox_name
      union all select 'subscription', account_id from subscription union all select 'email', account_id from email
      union all select 'message', account_id from message union all select 'mailbox_page', account_id from mailbox_page
      union all select 'change_log', account_id from change_log
      union all select 'email_loose', account_id from email_loose) r
    where account_id not in (select id from account)`,
  'an account counts its messages and bytes': `
    select a.account_id, a.messages, a.used_bytes, c.messages as are, c.bytes as are_bytes
      from account_state a, lateral (
        select count(*) as messages, coalesce(sum(size), 0) as bytes from sized z where z.account_id = a.account_id) c
      where (a.messages, a.used_bytes) is distinct from (c.messages, c.bytes)`,
  'a mailbox counts its messages, unseen ones and bytes': `
    select b.account_id, b.id, b.messages, b.unseen, b.size, c.messages as are, c.unseen as are_unseen, z.size as are_bytes
      from mailbox b, lateral (
        select count(*) as messages, count(*) filter (where flags & 1 = 0) as unseen from slot s
          where s.account_id = b.account_id and s.mailbox_id = b.id and is_there) c, lateral (
        select coalesce(sum(size), 0) as size from sized z where z.account_id = b.account_id and z.mailbox_id = b.id) z
      where (b.messages, b.unseen, b.size) is distinct from (c.messages, c.unseen, z.size)`,
  'messages and pages are those of mailboxes': `
    select * from (select account_id, mailbox_id from message union all select account_id, mailbox_id from mailbox_page) r
      where not exists (select from mailbox b where b.account_id = r.account_id and b.id = r.mailbox_id)`,
  'a message is in its page, and a page shows messages only': `
    select * from (select account_id, mailbox_id, uid, true as is_row from message) m
      full join (select account_id, mailbox_id, uid, true as is_shown from slot where is_there) s
        using (account_id, mailbox_id, uid)
      where is_row is null or is_shown is null`,
  'a message has an email of its size, and an email a message of its size, or is left to the janitor': `
    select m.account_id, m.mailbox_id, m.uid, m.email_id, e.id, m.size, e.size as of_email from message m
      full join email e on e.account_id = m.account_id and e.id = m.email_id
      where m.size is distinct from e.size and (m.account_id is not null or not exists (
        select from email_loose l where l.account_id = e.account_id and e.id = any (l.email_ids)))`,
  'an email has a blob, and the size of blob and prefix': `
    select e.account_id, e.id, e.size, length(e.prefix) as prefix, b.size as blob from email e
      left join blob b on b.hash = e.blob_hash where b.hash is null or e.size <> length(e.prefix) + b.size`,
  'a blob is whole': `
    select encode(b.hash, 'hex') as blob, b.size, length(b.raw) as raw, p.bytes, p.pieces from blob b, lateral (
        select coalesce(sum(length(data)), 0) as bytes, count(*) as pieces, coalesce(max(piece) + 1, 0) as last,
            sha256(coalesce(string_agg(data, '' order by piece), '')) as hash
          from blob_piece p where p.hash = b.hash) p
      where case when b.raw is null then p.bytes <> b.size or p.pieces <> p.last or p.hash <> b.hash
        else length(b.raw) <> b.size or p.pieces > 0 or sha256(b.raw) <> b.hash end`,
  'a piece belongs to a blob': `
    select encode(hash, 'hex') as blob, piece from blob_piece p where not exists (select from blob b where b.hash = p.hash)`,
  'a UID that is not there has no flags, one that is has a modseq': `
    select account_id, mailbox_id, uid, flags, modseq from slot where (not is_there and flags <> 0) or (is_there and place = 0)`,
  'uidnext is above every UID that was in use, and recent_from is not above it': `
    select b.account_id, b.id, b.uidnext, b.recent_from, s.uid from mailbox b left join lateral (
        select max(uid) as uid from slot s where s.account_id = b.account_id and s.mailbox_id = b.id and place > 0) s on true
      where s.uid >= b.uidnext or b.recent_from > b.uidnext or b.recent_from < 1 or b.uidnext > 4294967295`,
  'a page’s highest modseq is that of one of its UIDs, and not above its mailbox’s': `
    select p.account_id, p.mailbox_id, p.page, p.max_modseq, s.modseq, b.highest_modseq from mailbox_page p
      join mailbox b on b.account_id = p.account_id and b.id = p.mailbox_id, lateral (
        select max(modseq) filter (where place > 0) as modseq from slot s
          where s.account_id = p.account_id and s.mailbox_id = p.mailbox_id and s.page = p.page) s
      where p.max_modseq is distinct from s.modseq or p.max_modseq > b.highest_modseq`,
  'no mailbox is ahead of its account': `
    select b.account_id, b.id, b.highest_modseq, a.modseq from mailbox b join account_state a using (account_id)
      where b.highest_modseq > a.modseq`,
  'the change log has every modseq above its floor, and nothing that has not come yet': `
    select a.account_id, a.modseq, a.log_floor, l.entries, l.last from account_state a, lateral (
        select count(distinct modseq) as entries, max(modseq) as last from change_log l
          where l.account_id = a.account_id and l.modseq > greatest(a.log_floor, 1)) l
      where l.entries <> greatest(0, a.modseq - greatest(a.log_floor, 1)) or l.last > a.modseq`,
  'the change log names the mailbox of every change above its floor': `
    select c.account_id, c.mailbox_id, c.modseq from (
        select account_id, mailbox_id, modseq from slot where place > 0
        union select account_id, id, highest_modseq from mailbox) c
      join account_state a using (account_id)
      where c.modseq > greatest(a.log_floor, 1) and not exists (
        select from change_log l
          where l.account_id = c.account_id and l.modseq = c.modseq and l.mailbox_id = c.mailbox_id)`,
  'the keywords of a page are in the table of its mailbox, each once': `
    select p.account_id, p.mailbox_id, p.page, s as slot, k as bit from mailbox_page p
      join mailbox b on b.account_id = p.account_id and b.id = p.mailbox_id,
      generate_series(0, 255) s, generate_series(0, length(p.keywords) / 32 - 1) k
      where get_bit(p.keywords, s * (length(p.keywords) / 32) + k) = 1
        and (k >= cardinality(b.keywords) or get_bit(p.present, s) = 0)
    union all
    select b.account_id, b.id, null, null, null from mailbox b
      where cardinality(b.keywords) <> (select count(distinct lower(w collate "C")) from unnest(b.keywords) w)`,
  'a mailbox lies below one that is there': `
    select b.account_id, b.name from mailbox b where strpos(b.name, '/') > 0 and not exists (
      select from mailbox p where p.account_id = b.account_id and p.name = regexp_replace(b.name, '/[^/]*$', ''))`,
  'a name’s UIDVALIDITY is above those it had before': `
    select b.account_id, b.name, b.uidvalidity, n.uidvalidity as was from mailbox b
      join mailbox_name n on n.account_id = b.account_id and n.name = b.name where b.uidvalidity <= n.uidvalidity`,
};

/**
 * The rules that the database breaks, each with some of the rows that do; none: all is well. `at`: its address, or a
 * connection, whose transaction is looked at from inside.
 */
export async function brokenInvariants(at: string | pg.Client): Promise<readonly string[]> {
  if (typeof at !== 'string') return broken(at);
  const client = new pg.Client({ connectionString: at });
  await client.connect();
  try {
    await client.query('begin isolation level repeatable read read only');
    return await broken(client);
  } finally {
    await client.end();
  }
}

async function broken(client: pg.Client): Promise<readonly string[]> {
  const found: string[] = [];
  for (const [rule, query] of Object.entries(rules)) {
    const { rows } = await client.query(`${views} select * from (${query}) broken limit ${shown}`);
    if (rows.length > 0) found.push(`${rule}: ${JSON.stringify(rows)}`);
  }
  return found;
}

-- A change of an account's messages (STORE, COPY, MOVE, EXPUNGE) in one call. It was worked out from what the account was
-- at the modseq `_modseq`, and does nothing where somebody else has changed the account since. See server/store/pg-change.ts.
--   _kind      what becomes of the rows: flags (nothing), copy, move or expunge
--   rows       those of _from whose UIDs lie in the ranges _first to _last, all of which are there; copied and moved ones
--              get the UIDs of _to from _uidnext on, in their order. A copy may bring the account to _limit bytes; null: any
--   _known     the keyword table of _to, where it grew; else null
--   boxes      one a mailbox: what to add to its counters. _box_sign is the sign with which the bytes of the rows count
--   pages      of mailboxes, as they are then
--   log        what is noted of each mailbox
-- Returns done, changed (by somebody else; nothing was done) or over-quota (nothing was done).
create function change_messages(
  _account bigint, _modseq bigint,
  _kind text, _from bigint, _to bigint, _first int8[], _last int8[], _uidnext bigint, _limit bigint, _known text[],
  _box int8[], _box_uids int8[], _box_messages int8[], _box_unseen int8[], _box_sign int8[],
  _page_box int8[], _page int4[], _present bytea[], _flags bytea[], _modseqs bytea[], _keywords bytea[],
  _base_modseq int8[], _max_modseq int8[],
  _log_box int8[], _log_kind text[], _log_uids text[]
) returns text language plpgsql as $$
declare
  _used bigint;
  _size bigint := 0;
  _count bigint := 0;
  _ids int8[];
begin
  -- OFFSET 0: each range is looked up by the key, whatever the statistics say, which know nothing of mail that has just
  -- come. Rows to delete are named by their ctid, which nobody moves under the account's lock.
  if _kind = 'copy' and _limit is not null then
    select used_bytes into _used from account_state where account_id = _account and modseq = _modseq for update;
    select coalesce(sum(m.size), 0) into _size
      from unnest(_first, _last) r (first, last), lateral (
        select size from message where account_id = _account and mailbox_id = _from and uid between r.first and r.last
        offset 0) m;
    if _used + _size > _limit then
      return 'over-quota';
    end if;
  end if;

  -- Waits for who is writing to the account, and looks again.
  update account_state set modseq = _modseq + 1 where account_id = _account and modseq = _modseq;
  if not found then
    return 'changed';
  end if;

  if _kind in ('copy', 'move') then
    with made as (
      insert into message (account_id, mailbox_id, uid, email_id, size, internal_date)
        select _account, _to, _uidnext + r.before + m.uid - r.first, m.email_id, m.size, m.internal_date
          from (
            select first, last, (sum(last - first + 1) over (order by first) - (last - first + 1))::int8 as before
              from unnest(_first, _last) u (first, last)
          ) r, lateral (
            select uid, email_id, size, internal_date from message
            where account_id = _account and mailbox_id = _from and uid between r.first and r.last
            offset 0) m
        returning size
    )
    select coalesce(sum(size), 0), count(*) into _size, _count from made;
  end if;
  if _kind in ('move', 'expunge') then
    with gone as (
      delete from message where ctid = any (array(
        select m.at from unnest(_first, _last) r (first, last), lateral (
          select ctid as at from message
          where account_id = _account and mailbox_id = _from and uid between r.first and r.last
          offset 0) m))
        returning email_id, size
    )
    select coalesce(sum(size), 0), count(*), array_agg(email_id) into _size, _count, _ids from gone;
  end if;
  if _kind = 'expunge' then
    -- A statement of its own: it must see that the rows above are gone.
    delete from email where ctid = any (array(
      select e.at from unnest(_ids) i (id), lateral (
        select ctid as at from email
        where account_id = _account and id = i.id
          and not exists (select from message m where m.account_id = _account and m.email_id = i.id)
        offset 0) e));
  end if;
  if _kind in ('copy', 'expunge') then
    update account_state
      set used_bytes = used_bytes + case _kind when 'copy' then _size else -_size end,
          messages = messages + case _kind when 'copy' then _count else -_count end
      where account_id = _account;
  end if;

  with boxes_done as (
    update mailbox m
      set highest_modseq = _modseq + 1, uidnext = m.uidnext + b.uids, messages = m.messages + b.messages,
          unseen = m.unseen + b.unseen, size = m.size + b.sign * _size,
          keywords = case when m.id = _to and _known is not null then _known else m.keywords end
      from unnest(_box, _box_uids, _box_messages, _box_unseen, _box_sign) b (id, uids, messages, unseen, sign)
      where m.account_id = _account and m.id = b.id
  ), pages_done as (
    insert into mailbox_page (account_id, mailbox_id, page, present, flags, modseqs, keywords, base_modseq, max_modseq)
      select _account, p.*
        from unnest(_page_box, _page, _present, _flags, _modseqs, _keywords, _base_modseq, _max_modseq) p
      on conflict (account_id, mailbox_id, page) do update
        set present = excluded.present, flags = excluded.flags, modseqs = excluded.modseqs,
            keywords = excluded.keywords, base_modseq = excluded.base_modseq, max_modseq = excluded.max_modseq
  )
  insert into change_log (account_id, modseq, mailbox_id, kind, uids)
    select _account, _modseq + 1, l.* from unnest(_log_box, _log_kind, _log_uids) l;
  return 'done';
end $$;

-- Changes of an account's messages, faster: see server/store/pg-message-change.ts. The older change_messages stays for
-- servers that know no other.

-- Emails that have left a mailbox in great numbers, and that may lie in no other: the janitor looks, and deletes those
-- that don't. What they took is free at once; whoever reads messages does not see them.
create table email_loose (
  account_id bigint not null,
  id bigint generated always as identity,
  email_ids int8[] not null,
  primary key (account_id, id)
);
-- A few thousand numbers: to compress them takes longer than to write them.
alter table email_loose alter email_ids set storage external;

create function account_loose_end() returns trigger language plpgsql as $$
begin
  delete from email_loose where account_id = old.id;
  return null;
end $$;
-- After account_mail_end, by its name: it waits for who is writing to the account, and this then sees what they wrote.
create trigger account_mail_end_loose after delete on account for each row execute function account_loose_end();

-- STORE, in one mailbox. It was worked out from what the account was at the modseq `_modseq`, and does nothing (false)
-- where somebody else has changed the account since.
--   _unseen    to be added to the mailbox's counter
--   _known     its keyword table, where it grew; else null
--   pages      those that changed, as they are then
--   _uids      of the messages that changed
create function change_flags(
  _account bigint, _modseq bigint, _box bigint, _unseen bigint, _known text[],
  _page int4[], _flags bytea[], _modseqs bytea[], _keywords bytea[], _base_modseq int8[], _uids text
) returns boolean language plpgsql as $$
begin
  -- Waits for who is writing to the account, and looks again.
  update account_state set modseq = _modseq + 1 where account_id = _account and modseq = _modseq;
  if not found then
    return false;
  end if;
  update mailbox
    set highest_modseq = _modseq + 1, unseen = unseen + _unseen, keywords = coalesce(_known, keywords)
    where account_id = _account and id = _box;
  for i in 1 .. cardinality(_page) loop
    update mailbox_page
      set flags = _flags[i], modseqs = _modseqs[i], keywords = _keywords[i], base_modseq = _base_modseq[i],
          max_modseq = _modseq + 1
      where account_id = _account and mailbox_id = _box and page = _page[i];
  end loop;
  insert into change_log (account_id, modseq, mailbox_id, kind, uids)
    values (_account, _modseq + 1, _box, 'flags', _uids);
  return true;
end $$;

-- COPY, MOVE and EXPUNGE in one call, with the arguments of change_messages. A message that is moved keeps its row, which
-- becomes one of the other mailbox. Of more than 100 messages that are expunged the emails are left to the janitor.
create function change_mail(
  _account bigint, _modseq bigint,
  _kind text, _from bigint, _to bigint, _first int8[], _last int8[], _uidnext bigint, _limit bigint, _known text[],
  _box int8[], _box_uids int8[], _box_messages int8[], _box_unseen int8[], _box_sign int8[],
  _page_box int8[], _page int4[], _present bytea[], _flags bytea[], _modseqs bytea[], _keywords bytea[],
  _base_modseq int8[], _max_modseq int8[],
  _log_box int8[], _log_kind text[], _log_uids text[]
) returns text language plpgsql as $$
declare
  -- What to add to the UIDs of each range for those they get.
  _shift int8[];
  _count bigint;
  _used bigint;
  _size bigint;
  _at tid[];
  _ids int8[];
begin
  if _kind = 'copy' and _limit is not null then
    select used_bytes into _used from account_state where account_id = _account and modseq = _modseq for update;
    if not found then
      return 'changed';
    end if;
  end if;

  select array_agg(_uidnext + r.before - r.first order by r.first), coalesce(sum(r.last - r.first + 1), 0) into _shift, _count
    from (
      select first, last, (sum(last - first + 1) over (order by first) - (last - first + 1))::int8 as before
        from unnest(_first, _last) u (first, last)
    ) r;

  -- OFFSET 0: each range is looked up by the key, whatever the statistics say, which know nothing of mail that has just
  -- come. Rows that change are named by their ctid, which nobody else moves under the account's lock.
  if _kind = 'copy' then
    -- Bytes of a whole mailbox are counted already.
    select size into _size from mailbox where account_id = _account and id = _from and messages = _count;
    if not found then
      select coalesce(sum(m.size), 0) into _size
        from unnest(_first, _last) r (first, last), lateral (
          select size from message where account_id = _account and mailbox_id = _from and uid between r.first and r.last
          offset 0) m;
    end if;
    if _used + _size > _limit then
      return 'over-quota';
    end if;
  end if;

  -- Waits for who is writing to the account, and looks again: what was read above is true where nobody was.
  update account_state
    set modseq = _modseq + 1,
        used_bytes = used_bytes + case _kind when 'copy' then _size else 0 end,
        messages = messages + case _kind when 'copy' then _count else 0 end
    where account_id = _account and modseq = _modseq;
  if not found then
    return 'changed';
  end if;

  if _kind = 'copy' then
    insert into message (account_id, mailbox_id, uid, email_id, size, internal_date)
      select _account, _to, m.uid + r.shift, m.email_id, m.size, m.internal_date
        from unnest(_first, _last, _shift) r (first, last, shift), lateral (
          select uid, email_id, size, internal_date from message
          where account_id = _account and mailbox_id = _from and uid between r.first and r.last
          offset 0) m;
  else
    select array_agg(m.at), array_agg(m.email_id), coalesce(sum(m.size), 0) into _at, _ids, _size
      from unnest(_first, _last) r (first, last), lateral (
        select ctid as at, email_id, size from message
        where account_id = _account and mailbox_id = _from and uid between r.first and r.last
        offset 0) m;
    if _kind = 'move' then
      update message set mailbox_id = _to, uid = uid + _shift[width_bucket(uid, _first)], save_date = now()
        where ctid = any (_at);
    else
      delete from message where ctid = any (_at);
      update account_state set used_bytes = used_bytes - _size, messages = messages - _count where account_id = _account;
    end if;
  end if;
  if _kind = 'expunge' and _count <= 100 then
    delete from email where ctid = any (array(
      select e.at from unnest(_ids) i (id), lateral (
        select ctid as at from email
        where account_id = _account and id = i.id
          and not exists (select from message m where m.account_id = _account and m.email_id = i.id)
        offset 0) e));
  elsif _kind = 'expunge' then
    insert into email_loose (account_id, email_ids)
      select _account, _ids[g + 1 : g + 10000] from generate_series(0, _count - 1, 10000) g;
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

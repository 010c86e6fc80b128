-- Stores a batch of new mail, one mailbox an account, however many accounts: one statement for each table, where the short
-- form of 0005-receive-speed.sql has several for each mailbox, and the general one a join of everything with everything.
-- See server/store/pg-plain-batch.ts, which calls it. Older servers go on with those.
--   the first 28   are those of the short form
--   _box_checked   whether the box's account may refuse its messages because of its quota
-- SQLSTATE MR002: a mailbox is gone, has used up its UIDs, a quota, or a page needs more than new messages: for the general one.
create function store_batch(
  _batch uuid,
  _hash bytea[], _size int8[], _raw bytea[],
  _blob int4[], _envelope text[], _bodystructure text[], _parts text[], _sent_at timestamptz[], _sent_day text[],
  _job int4[], _message int4[], _email int4[], _account int8[], _mailbox int8[], _prefix bytea[], _flags int4[],
  _keywords text[], _date timestamptz[], _checked bool[],
  _box_account int8[], _box_mailbox int8[], _box_messages int4[], _box_unseen int4[], _box_bytes int8[], _box_flags bytea[],
  _place int4[], _offset int4[], _box_checked bool[]
) returns json language plpgsql as $$
declare
  _boxes int := cardinality(_box_account);
  _items int := cardinality(_place);
  _found int;
  _made int := 0;
  _pieces int;
  _most int8;
  _modseqs int8[];
  _used int8[];
  _ids int8[];
  _firsts int8[];
  _validities int8[];
  _email_id int8[];
  _result json;
begin
  -- Who looks for the outcome after a lost connection waits here for the end of this transaction.
  perform pg_advisory_xact_lock(hashtextextended(_batch::text, 0));

  select count(*) into _found
    from (select from account_state where account_id = any (_box_account) order by account_id for update skip locked) a;
  if _found = _boxes then
    insert into blob (hash, size, raw)
      select _hash[b.i], _size[b.i], _raw[b.i]
        from (select i from generate_subscripts(_hash, 1) i where _raw[i] is not null order by _hash[i]) b
      on conflict (hash) do nothing;
    get diagnostics _found = row_count;
    if _found < cardinality(_hash) then
      -- Some were there already: locked against the sweeper, who may have been faster.
      select count(*) into _found from (select from blob where hash = any (_hash) order by hash for key share) h;
    end if;
    _found := _boxes + _found - cardinality(_hash);
  end if;
  if _found < _boxes then
    return store_batch(_batch, _hash, _size, _raw, _blob, _envelope, _bodystructure, _parts, _sent_at, _sent_day,
      _job, _message, _email, _account, _mailbox, _prefix, _flags, _keywords, _date, _checked);
  end if;

  with done as (
    update account_state s
      set modseq = s.modseq + 1, used_bytes = s.used_bytes + b.bytes, messages = s.messages + b.messages
      from unnest(_box_account, _box_bytes, _box_messages) with ordinality b (account, bytes, messages, place)
      where s.account_id = b.account
      returning b.place, s.modseq, s.used_bytes
  )
  select array_agg(modseq order by place), array_agg(used_bytes order by place) into _modseqs, _used from done;

  with done as (
    update mailbox m
      set uidnext = m.uidnext + b.messages, highest_modseq = b.modseq, messages = m.messages + b.messages,
          unseen = m.unseen + b.unseen, size = m.size + b.bytes
      from (
        select u.*, case when u.mailbox <> 0 then u.mailbox
            else (select i.id from mailbox i where i.account_id = u.account and i.name = 'INBOX') end as id
          from unnest(_box_account, _box_mailbox, _box_messages, _box_unseen, _box_bytes, _modseqs) with ordinality
            u (account, mailbox, messages, unseen, bytes, modseq, place)
          offset 0
      ) b
      where m.account_id = b.account and m.id = b.id
      returning b.place, m.id, m.uidnext - b.messages as first, m.uidnext, m.uidvalidity
  )
  select array_agg(id order by place), array_agg(first order by place), array_agg(uidvalidity order by place), count(*), max(uidnext)
    into _ids, _firsts, _validities, _found, _most from done;
  if _found < _boxes or _most > 4294967295
    or true = any (_box_checked) and exists (
      select from unnest(_box_account, _box_checked, _used) b (account, checked, used) join account a on a.id = b.account
        where b.checked and b.used > a.quota_bytes)
  then
    raise exception 'not for the plain way' using errcode = 'MR002';
  end if;

  select sum(((b.first + b.messages - 1) >> 8) - (b.first >> 8) + 1) into _pieces from unnest(_firsts, _box_messages) b (first, messages);
  update mailbox_page g
    set present = case when p.at = p.upto then set_bit(g.present, p.at & 255, 1) else page_present(g.present, p.at & 255, p.upto & 255) end,
        flags = overlay(g.flags placing p.flags from (p.at & 255) * 2 + 1),
        modseqs = overlay(g.modseqs placing
          case when p.at = p.upto then int4send((p.modseq - g.base_modseq)::int)
               else decode(repeat(encode(int4send((p.modseq - g.base_modseq)::int), 'hex'), p.upto - p.at + 1), 'hex') end
          from (p.at & 255) * 4 + 1),
        max_modseq = p.modseq
    from (
      -- `at` and `upto` are counted from the page's beginning.
      select b.account, b.id, b.modseq, n.page, s.at, s.upto,
          substring(b.flags from (((n.page::int8 << 8) + s.at - b.first) * 2 + 1)::int for (s.upto - s.at + 1) * 2) as flags
        from unnest(_box_account, _ids, _modseqs, _firsts, _box_messages, _box_flags) b (account, id, modseq, first, messages, flags),
          generate_series((b.first >> 8)::int, ((b.first + b.messages - 1) >> 8)::int) n (page),
          lateral (select greatest(b.first - (n.page::int8 << 8), 0)::int as at,
            least(b.first + b.messages - 1 - (n.page::int8 << 8), 255)::int as upto) s
        offset 0
    ) p
    where g.account_id = p.account and g.mailbox_id = p.id and g.page = p.page and p.modseq - g.base_modseq <= 2147483647;
  get diagnostics _found = row_count;
  if _found < _pieces then
    insert into mailbox_page (account_id, mailbox_id, page, present, flags, modseqs, base_modseq, max_modseq)
      select b.account, b.id, n.page,
          page_present(decode(repeat('00', 32), 'hex'), s.at, s.upto),
          overlay(decode(repeat('00', 512), 'hex') placing
            substring(b.flags from (((n.page::int8 << 8) + s.at - b.first) * 2 + 1)::int for (s.upto - s.at + 1) * 2)
            from s.at * 2 + 1),
          overlay(decode(repeat('00', 1024), 'hex') placing decode(repeat('00000001', s.upto - s.at + 1), 'hex') from s.at * 4 + 1),
          b.modseq - 1, b.modseq
        from unnest(_box_account, _ids, _modseqs, _firsts, _box_messages, _box_flags) b (account, id, modseq, first, messages, flags),
          generate_series((b.first >> 8)::int, ((b.first + b.messages - 1) >> 8)::int) n (page),
          lateral (select greatest(b.first - (n.page::int8 << 8), 0)::int as at,
            least(b.first + b.messages - 1 - (n.page::int8 << 8), 255)::int as upto) s
      on conflict do nothing;
    get diagnostics _made = row_count;
  end if;
  if _found + _made < _pieces then
    raise exception 'not for the plain way' using errcode = 'MR002';
  end if;

  insert into change_log (account_id, modseq, mailbox_id, kind, uids)
    select b.account, b.modseq, b.id, 'added',
        case when b.messages = 1 then b.first::text else b.first || ':' || b.first + b.messages - 1 end
      from unnest(_box_account, _modseqs, _ids, _firsts, _box_messages) b (account, modseq, id, first, messages);

  select array_agg(nextval('email_id_seq')) into _email_id from generate_series(1, _items);
  insert into email (account_id, id, blob_hash, prefix, size, envelope, bodystructure, parts, sent_at, sent_day)
    overriding system value
    select _account[i], _email_id[i], _hash[_blob[_message[i]]], _prefix[i], _size[_blob[_message[i]]] + length(_prefix[i]),
        _envelope[_message[i]], _bodystructure[_message[i]], _parts[_message[i]], _sent_at[_message[i]], _sent_day[_message[i]]
      from generate_series(1, _items) i;
  insert into message (account_id, mailbox_id, uid, email_id, size, internal_date)
    select _account[i], _ids[_place[i]], _firsts[_place[i]] + _offset[i], _email_id[i],
        _size[_blob[_message[i]]] + length(_prefix[i]), coalesce(_date[i], now())
      from generate_series(1, _items) i;
  select ('[' || string_agg(
      '[' || _ids[_place[i]] || ',' || _firsts[_place[i]] + _offset[i] || ',' || _modseqs[_place[i]] || ',' || _validities[_place[i]] || ']',
      ',' order by i) || ']')::json into _result
    from generate_series(1, _items) i;

  -- Last: a batch that was given up meanwhile fails here.
  insert into delivery_batch (id, result) values (_batch, _result);
  return _result;
end $$;

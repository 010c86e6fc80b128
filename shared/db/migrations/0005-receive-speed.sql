-- Stores a small batch of new mail, one mailbox an account, nothing checked: a few simple statements for each mailbox and
-- for all messages, where the general store_batch has one for everything, which costs more to begin than a few messages
-- cost to store. See server/store/pg-plain-batch.ts, which calls it.
--   the first 20  are those of the general one, which takes over where somebody else writes to one of the accounts, an
--                 account or a blob is gone
--   boxes         one an account, in the order of the accounts: _box_account, _box_mailbox (0: INBOX), how many messages
--                 it gets, how many of them unseen, their bytes, their flags (two bytes a message)
--   items         _place (of the box, from 1) and _offset (among those of the box, from 0)
-- SQLSTATE MR002: a mailbox is gone, has used up its UIDs, or a page needs more than a new message: for the general one.
create function store_batch(
  _batch uuid,
  _hash bytea[], _size int8[], _raw bytea[],
  _blob int4[], _envelope text[], _bodystructure text[], _parts text[], _sent_at timestamptz[], _sent_day text[],
  _job int4[], _message int4[], _email int4[], _account int8[], _mailbox int8[], _prefix bytea[], _flags int4[],
  _keywords text[], _date timestamptz[], _checked bool[],
  _box_account int8[], _box_mailbox int8[], _box_messages int4[], _box_unseen int4[], _box_bytes int8[], _box_flags bytea[],
  _place int4[], _offset int4[]
) returns json language plpgsql as $$
declare
  _found int;
  _email_id int8[];
  _ids int8[] := array_fill(0::int8, array[cardinality(_box_account)]);
  _firsts int8[] := _ids;
  _modseqs int8[] := _ids;
  _validities int8[] := _ids;
  _id int8;
  _next int8;
  _modseq int8;
  _validity int8;
  _at int8;
  _to int8;
  _result json;
begin
  -- Who looks for the outcome after a lost connection waits here for the end of this transaction.
  perform pg_advisory_xact_lock(hashtextextended(_batch::text, 0));

  select count(*) into _found
    from (select from account_state where account_id = any (_box_account) order by account_id for update skip locked) a;
  if _found = cardinality(_box_account) then
    insert into blob (hash, size, raw)
      select _hash[b.i], _size[b.i], _raw[b.i] from (select i from generate_subscripts(_hash, 1) i order by _hash[i]) b
      on conflict (hash) do nothing;
    get diagnostics _found = row_count;
    if _found < cardinality(_hash) then
      -- Some were there already: locked against the sweeper, who may have been faster.
      select count(*) into _found from (select from blob where hash = any (_hash) order by hash for key share) h;
    end if;
    _found := cardinality(_box_account) + _found - cardinality(_hash);
  end if;
  if _found < cardinality(_box_account) then
    return store_batch(_batch, _hash, _size, _raw, _blob, _envelope, _bodystructure, _parts, _sent_at, _sent_day,
      _job, _message, _email, _account, _mailbox, _prefix, _flags, _keywords, _date, _checked);
  end if;

  select array_agg(nextval('email_id_seq')) into _email_id from generate_series(1, cardinality(_job));

  for b in 1 .. cardinality(_box_account) loop
    update account_state
      set modseq = modseq + 1, used_bytes = used_bytes + _box_bytes[b], messages = messages + _box_messages[b]
      where account_id = _box_account[b] returning modseq into _modseq;
    if _box_mailbox[b] = 0 then
      update mailbox
        set uidnext = uidnext + _box_messages[b], highest_modseq = _modseq, messages = messages + _box_messages[b],
            unseen = unseen + _box_unseen[b], size = size + _box_bytes[b]
        where account_id = _box_account[b] and name = 'INBOX' returning id, uidnext, uidvalidity into _id, _next, _validity;
    else
      update mailbox
        set uidnext = uidnext + _box_messages[b], highest_modseq = _modseq, messages = messages + _box_messages[b],
            unseen = unseen + _box_unseen[b], size = size + _box_bytes[b]
        where account_id = _box_account[b] and id = _box_mailbox[b] returning id, uidnext, uidvalidity into _id, _next, _validity;
    end if;
    if _id is null or _next > 4294967295 then
      raise exception 'not for the plain way' using errcode = 'MR002';
    end if;
    _ids[b] := _id;
    _firsts[b] := _next - _box_messages[b];
    _modseqs[b] := _modseq;
    _validities[b] := _validity;

    _at := _firsts[b];
    while _at < _next loop
      _to := least(_next - 1, _at | 255);
      update mailbox_page
        set present = case when _at = _to then set_bit(present, (_at & 255)::int, 1)
                           else page_present(present, (_at & 255)::int, (_to & 255)::int) end,
            flags = overlay(flags placing substring(_box_flags[b] from ((_at - _firsts[b]) * 2 + 1)::int for ((_to - _at + 1) * 2)::int)
              from ((_at & 255) * 2 + 1)::int),
            modseqs = overlay(modseqs placing
              case when _at = _to then int4send((_modseq - base_modseq)::int)
                   else decode(repeat(encode(int4send((_modseq - base_modseq)::int), 'hex'), (_to - _at + 1)::int), 'hex') end
              from ((_at & 255) * 4 + 1)::int),
            max_modseq = _modseq
        where account_id = _box_account[b] and mailbox_id = _id and page = (_at >> 8)::int
          and _modseq - base_modseq <= 2147483647;
      if not found then
        insert into mailbox_page (account_id, mailbox_id, page, present, flags, modseqs, base_modseq, max_modseq)
          values (_box_account[b], _id, (_at >> 8)::int,
            page_present(decode(repeat('00', 32), 'hex'), (_at & 255)::int, (_to & 255)::int),
            overlay(decode(repeat('00', 512), 'hex') placing
              substring(_box_flags[b] from ((_at - _firsts[b]) * 2 + 1)::int for ((_to - _at + 1) * 2)::int)
              from ((_at & 255) * 2 + 1)::int),
            overlay(decode(repeat('00', 1024), 'hex') placing decode(repeat('00000001', (_to - _at + 1)::int), 'hex')
              from ((_at & 255) * 4 + 1)::int),
            _modseq - 1, _modseq)
          on conflict do nothing;
        if not found then
          raise exception 'not for the plain way' using errcode = 'MR002';
        end if;
      end if;
      _at := _to + 1;
    end loop;

    insert into change_log (account_id, modseq, mailbox_id, kind, uids)
      values (_box_account[b], _modseq, _id, 'added',
        case when _box_messages[b] = 1 then _firsts[b]::text else _firsts[b] || ':' || _next - 1 end);
  end loop;

  insert into email (account_id, id, blob_hash, prefix, size, envelope, bodystructure, parts, sent_at, sent_day)
    overriding system value
    select _account[i], _email_id[i], _hash[_blob[_message[i]]], _prefix[i], _size[_blob[_message[i]]] + length(_prefix[i]),
        _envelope[_message[i]], _bodystructure[_message[i]], _parts[_message[i]], _sent_at[_message[i]], _sent_day[_message[i]]
      from generate_series(1, cardinality(_job)) i;
  insert into message (account_id, mailbox_id, uid, email_id, size, internal_date)
    select _account[i], _ids[_place[i]], _firsts[_place[i]] + _offset[i], _email_id[i],
        _size[_blob[_message[i]]] + length(_prefix[i]), coalesce(_date[i], now())
      from generate_series(1, cardinality(_job)) i;
  select json_agg(json_build_array(_ids[_place[i]], _firsts[_place[i]] + _offset[i], _modseqs[_place[i]], _validities[_place[i]])
      order by i) into _result
    from generate_series(1, cardinality(_job)) i;

  -- Last: a batch that was given up meanwhile fails here.
  insert into delivery_batch (id, result) values (_batch, _result);
  return _result;
end $$;

-- What is done most often, to one message: without the arrays and joins of the forms for many, which cost more than the few
-- rows that are written. Older servers go on with those.

-- Stores one message in one mailbox; see server/store/pg-single-message.ts, which calls it. The arguments are those of
-- store_batch (0002-mail.sql), which takes over where somebody else writes to the account or it is gone.
-- SQLSTATE MR002: the mailbox or the blob is gone, the quota or the UIDs are used up, or the page needs more than a new
-- message: for the general one.
create function store_message(
  _batch uuid, _hash bytea, _size int8, _raw bytea,
  _envelope text, _bodystructure text, _parts text, _sent_at timestamptz, _sent_day text,
  _account int8, _mailbox int8, _prefix bytea, _flags int4, _date timestamptz, _checked bool
) returns json language plpgsql as $$
declare
  _bytes int8 := _size + length(_prefix);
  _unseen int := 1 - (_flags & 1);
  _modseq int8;
  _used int8;
  _quota int8;
  _id int8;
  _uid int8;
  _validity int8;
  _slot int;
  _email int8;
  _result json;
begin
  -- Who looks for the outcome after a lost connection waits here for the end of this transaction.
  perform pg_advisory_xact_lock(hashtextextended(_batch::text, 0));

  update account_state s set modseq = modseq + 1, used_bytes = used_bytes + _bytes, messages = messages + 1
    where ctid = (select l.ctid from account_state l where l.account_id = _account for update skip locked)
    returning modseq, used_bytes, case when _checked then (select a.quota_bytes from account a where a.id = _account) end
    into _modseq, _used, _quota;
  if _modseq is null then
    return store_batch(_batch, array[_hash], array[_size], array[_raw], array[1], array[_envelope], array[_bodystructure],
      array[_parts], array[_sent_at], array[_sent_day], array[1], array[1], array[1], array[_account],
      array[_mailbox], array[_prefix], array[_flags], array[''], array[_date], array[_checked]);
  end if;
  if _used > _quota then
    raise exception 'not for the plain way' using errcode = 'MR002';
  end if;

  if _raw is not null then
    insert into blob (hash, size, raw) values (_hash, _size, _raw) on conflict (hash) do nothing;
  end if;
  if _raw is null or not found then
    -- It was there already: locked against the sweeper, who may have been faster.
    perform from blob where hash = _hash for key share;
    if not found then
      raise exception 'not for the plain way' using errcode = 'MR002';
    end if;
  end if;

  if _mailbox = 0 then
    update mailbox
      set uidnext = uidnext + 1, highest_modseq = _modseq, messages = messages + 1, unseen = unseen + _unseen, size = size + _bytes
      where account_id = _account and name = 'INBOX' returning id, uidnext - 1, uidvalidity into _id, _uid, _validity;
  else
    update mailbox
      set uidnext = uidnext + 1, highest_modseq = _modseq, messages = messages + 1, unseen = unseen + _unseen, size = size + _bytes
      where account_id = _account and id = _mailbox returning id, uidnext - 1, uidvalidity into _id, _uid, _validity;
  end if;
  if _id is null or _uid >= 4294967295 then
    raise exception 'not for the plain way' using errcode = 'MR002';
  end if;

  _slot := (_uid & 255)::int;
  update mailbox_page
    set present = set_bit(present, _slot, 1),
        flags = overlay(flags placing substring(int4send(_flags) from 3) from _slot * 2 + 1),
        modseqs = overlay(modseqs placing int4send((_modseq - base_modseq)::int) from _slot * 4 + 1),
        max_modseq = _modseq
    where account_id = _account and mailbox_id = _id and page = (_uid >> 8)::int and _modseq - base_modseq <= 2147483647;
  if not found then
    insert into mailbox_page (account_id, mailbox_id, page, present, flags, modseqs, base_modseq, max_modseq)
      values (_account, _id, (_uid >> 8)::int, set_bit(decode(repeat('00', 32), 'hex'), _slot, 1),
        overlay(decode(repeat('00', 512), 'hex') placing substring(int4send(_flags) from 3) from _slot * 2 + 1),
        overlay(decode(repeat('00', 1024), 'hex') placing '\x00000001' from _slot * 4 + 1),
        _modseq - 1, _modseq)
      on conflict do nothing;
    if not found then
      raise exception 'not for the plain way' using errcode = 'MR002';
    end if;
  end if;

  insert into change_log (account_id, modseq, mailbox_id, kind, uids) values (_account, _modseq, _id, 'added', _uid::text);
  insert into email (account_id, blob_hash, prefix, size, envelope, bodystructure, parts, sent_at, sent_day)
    values (_account, _hash, _prefix, _bytes, _envelope, _bodystructure, _parts, _sent_at, _sent_day)
    returning id into _email;
  insert into message (account_id, mailbox_id, uid, email_id, size, internal_date)
    values (_account, _id, _uid, _email, _bytes, coalesce(_date, now()));

  _result := json_build_array(json_build_array(_id, _uid, _modseq, _validity));
  -- Last: a batch that was given up meanwhile fails here.
  insert into delivery_batch (id, result) values (_batch, _result);
  return _result;
end $$;

-- change_flags (0020-imap-writes.sql), of one page.
create function change_page_flags(
  _account bigint, _modseq bigint, _box bigint, _unseen bigint, _known text[],
  _page int4, _flags bytea, _modseqs bytea, _keywords bytea, _base_modseq int8, _uids text
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
  update mailbox_page
    set flags = _flags, modseqs = _modseqs, keywords = _keywords, base_modseq = _base_modseq, max_modseq = _modseq + 1
    where account_id = _account and mailbox_id = _box and page = _page;
  insert into change_log (account_id, modseq, mailbox_id, kind, uids) values (_account, _modseq + 1, _box, 'flags', _uids);
  return true;
end $$;

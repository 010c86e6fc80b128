-- store_message (0027-single-writes.sql) into the mailbox that has the name now: APPEND need not ask for its id before.
create function store_message(
  _batch uuid, _hash bytea, _size int8, _raw bytea,
  _envelope text, _bodystructure text, _parts text, _sent_at timestamptz, _sent_day text,
  _account int8, _name text, _prefix bytea, _flags int4, _date timestamptz, _checked bool
) returns json language plpgsql as $$
declare
  _mailbox int8;
begin
  select id into _mailbox from mailbox where account_id = _account and name = _name;
  if not found then
    return '["no-such-mailbox"]';
  end if;
  return store_message(_batch, _hash, _size, _raw, _envelope, _bodystructure, _parts, _sent_at, _sent_day,
    _account, _mailbox, _prefix, _flags, _date, _checked);
end $$;

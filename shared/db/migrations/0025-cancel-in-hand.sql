-- What is cancelled while a worker has it in hand is cancelled as soon as the attempt is over, also where it is to be
-- tried again: it leaves its next hop, which may be blocked for hours, for the one of what is cancelled.

-- Writes what became of recipients, those alone that are still in hand under the token given.
-- Arrays of one length: _token, _id (recipient), _message, _address, _attempt, _next (gone, queued, held, dead, captured;
-- untried: given back as it was), _due (null: now), _reason, and the columns of outbound_attempt.
-- Returns the recipients that were not in hand any more. To call it again after an unknown outcome does no harm: what was
-- settled under the same token is not among them, unless _is_strict.
create or replace function outbound_settle(
  _token int8[], _id int8[], _message int8[], _address text[], _attempt int4[], _next text[], _due timestamptz[],
  _reason text[], _outcome text[], _category text[], _uncertain bool[], _code int4[], _status text[], _reply text[],
  _host text[], _host_address text[], _source_address text[], _tls_version text[], _tls_cipher text[],
  _tls_policy text[], _tls_verified bool[], _tls_result text[], _ms int4[], _is_strict bool
) returns int8[] language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  _done int8[];
  _refused int8[];
  _cancel int8;
  _is_any_cancelled bool;
begin
  -- There as soon as anything was ever cancelled.
  select id into _cancel from outbound_destination where route = 'cancel' and domain = '';
  with o as materialized (
    select * from unnest(
        _token, _id, _message, _address, _attempt, _next, _due, _reason, _outcome, _category, _uncertain, _code,
        _status, _reply, _host, _host_address, _source_address, _tls_version, _tls_cipher, _tls_policy,
        _tls_verified, _tls_result, _ms) o (
        token, id, message, address, attempt, next, due, reason, outcome, category, uncertain, code, status, reply,
        host, host_address, source_address, tls_version, tls_cipher, tls_policy, tls_verified, tls_result, ms)
  ), removed as (
    delete from outbound_recipient r using o where r.id = o.id and r.lease = o.token and o.next = 'gone' returning r.id
  ), kept as (
    update outbound_recipient r
      set lease = null, reason = coalesce(o.reason, r.reason),
          due_at = case when o.next in ('queued', 'untried') and r.wanted in ('cancel', 'cancel-quietly') then clock_timestamp() else coalesce(o.due, clock_timestamp()) end,
          destination_id = case when o.next in ('queued', 'untried') and r.wanted in ('cancel', 'cancel-quietly') then coalesce(_cancel, r.destination_id) else r.destination_id end,
          state = case when o.next = 'untried' then 'queued' when o.next = 'queued' and r.wanted = 'hold' then 'held' else o.next end,
          wanted = nullif(r.wanted, 'hold'),
          attempts = r.attempts + (o.next <> 'untried')::int4,
          crashes = case when o.next = 'untried' then r.crashes else 0 end,
          first_attempt_at = case when o.next = 'untried' then r.first_attempt_at else coalesce(r.first_attempt_at, now()) end
      from o where r.id = o.id and r.lease = o.token and o.next <> 'gone'
      returning r.id, _cancel is not null and r.destination_id = _cancel as is_cancelled
  ), settled as materialized (
    select id, false as is_cancelled from removed union all select id, is_cancelled from kept
  ), told as (
    insert into outbound_attempt (message_id, recipient_id, token, attempt, address, outcome, category, uncertain, stale,
        code, status, reply, host, host_address, source_address, tls_version, tls_cipher, tls_policy, tls_verified, tls_result, ms)
      select o.message, o.id, o.token, o.attempt, o.address, o.outcome, o.category, coalesce(o.uncertain, false), false,
          o.code, o.status, o.reply, o.host, o.host_address, o.source_address, o.tls_version, o.tls_cipher, o.tls_policy,
          o.tls_verified, o.tls_result, o.ms
        from settled join o on o.id = settled.id where o.next <> 'untried'
  )
  select coalesce(array_agg(id), '{}'), coalesce(bool_or(is_cancelled), false) into _done, _is_any_cancelled from settled;
  if _is_any_cancelled then
    perform outbound_rouse(array[_cancel]);
  end if;
  if cardinality(_done) = cardinality(_id) then
    return null;
  end if;

  with o as materialized (
    select * from unnest(
        _token, _id, _message, _address, _attempt, _next, _due, _reason, _outcome, _category, _uncertain, _code,
        _status, _reply, _host, _host_address, _source_address, _tls_version, _tls_cipher, _tls_policy,
        _tls_verified, _tls_result, _ms) o (
        token, id, message, address, attempt, next, due, reason, outcome, category, uncertain, code, status, reply,
        host, host_address, source_address, tls_version, tls_cipher, tls_policy, tls_verified, tls_result, ms)
      where o.id <> all (_done)
  ), refused as materialized (
    -- One row after the other by the index, however many attempts there are.
    select o.id from o left join lateral (
        select true as is_there from outbound_attempt a
          where a.message_id = o.message and a.recipient_id = o.id and a.token = o.token and a.outcome <> 'lapsed' limit 1) a on true
      where _is_strict or a.is_there is null
  ), told as (
    insert into outbound_attempt (message_id, recipient_id, token, attempt, address, outcome, category, uncertain, stale,
        code, status, reply, host, host_address, source_address, tls_version, tls_cipher, tls_policy, tls_verified, tls_result, ms)
      select o.message, o.id, o.token, o.attempt, o.address, o.outcome, o.category, coalesce(o.uncertain, false), true,
          o.code, o.status, o.reply, o.host, o.host_address, o.source_address, o.tls_version, o.tls_cipher, o.tls_policy,
          o.tls_verified, o.tls_result, o.ms
        from refused join o on o.id = refused.id where o.next <> 'untried'
  )
  select array_agg(id) into _refused from refused;
  return _refused;
end $$;

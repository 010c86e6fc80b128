-- Claiming and finishing at less cost. Older servers go on with the functions of 0006-outbound-queue.sql beside these.
--
-- A recipient's row is read where it is claimed, and named by its ctid afterwards: looking for it by its id among a
-- million costs more than changing it.

-- Every claim leaves a version of the row, and under an old snapshot none goes: then all rows of a page twice.
alter table outbound_recipient set (fillfactor = 45);

-- outbound_claim and outbound_next in one: up to _rows recipients each for up to _lanes new lanes, and for the lanes _old,
-- whose last batch has been settled and whose marks are given.
--   _since  destinations that are due for longer are passed over (-infinity: none are)
-- Returns a row (id null) for each new lane's destination that was looked at (taken 0: there is no lane) and for each of
-- _old that goes on (old_token; the columns of the destination are null), and a row for each recipient that was taken.
create function outbound_work(
  _worker uuid, _lanes int4, _rows int4, _since timestamptz,
  _old int8[], _high timestamptz[], _normal timestamptz[], _low timestamptz[]
) returns table (
  token int8, old_token int8, taken int4, route text, domain text, max_lanes int2, per_minute int4, blocked_times int2,
  high timestamptz, normal timestamptz, low timestamptz,
  id int8, tid tid, message_id int8, address text, notify text, orcpt text, attempts int2, crashes int2,
  delay_notices int2, first_attempt_at timestamptz, wanted text
) language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
#variable_conflict use_column
declare
  _before int8[];
  _token int8[];
  _id int8[];
  _limit int4[];
  _full bool[];
  _mark0 timestamptz[];
  _mark1 timestamptz[];
  _mark2 timestamptz[];
begin
  perform from outbound_worker where id = _worker for key share;
  if not found then
    return;
  end if;
  select array_agg(w.old), array_agg(nextval('outbound_lane_token_seq')), array_agg(w.id), array_agg(w.most),
      array_agg(w.is_full), array_agg(w.mark0), array_agg(w.mark1), array_agg(w.mark2)
    into _before, _token, _id, _limit, _full, _mark0, _mark1, _mark2
    from (
      select l.token as old, d.id, _rows as most, false as is_full, n.high as mark0, n.normal as mark1, n.low as mark2
        from unnest(_old, _high, _normal, _low) n (token, high, normal, low)
        join outbound_lane l on l.token = n.token and l.worker_id = _worker
        join outbound_destination d on d.id = l.destination_id
        where d.lanes <= least(d.max_lanes, greatest(1, floor(d.bearable))) and d.per_minute is null
          and (d.blocked_until is null or d.blocked_until < now())
      union all
      select null, f.id, f.most, f.is_full, case when f.is_full then '-infinity' else f.marks[1] end,
          case when f.is_full then '-infinity' else f.marks[2] end, case when f.is_full then '-infinity' else f.marks[3] end
        from (
          select d.id, d.marks, d.marked_at < now() - interval '60 seconds' as is_full,
              case when d.per_minute is null then _rows else least(_rows, 1 + floor(d.per_minute / 60.0
                * extract(epoch from now() - greatest(d.rate_at, now() - interval '10 seconds')))::int4) end as most
            from outbound_destination d
            where d.is_open and d.next_due <= now() and d.next_due >= _since
            order by d.next_due limit _lanes for no key update skip locked) f) w;
  if _id is null then
    return;
  end if;

  return query
  with wanted as materialized (
    select * from unnest(_before, _token, _id, _limit, _full, _mark0, _mark1, _mark2)
      w (old, token, destination, most, is_full, high, normal, low)
  ), found as materialized (
    -- One row a class of a lane, its recipients in arrays in the order in which they are due.
    select w.token, w.most, c.class, c.weight, r.*
      from wanted w
      cross join lateral (values (0::int2, 8.0::real, w.high), (1::int2, 4.0::real, w.normal), (2::int2, 1.0::real, w.low)) c (class, weight, mark)
      cross join lateral (
        select array_agg(q.ctid) as tids, array_agg(q.id) as ids, array_agg(q.crashes) as crashes, count(*) as count,
            min(q.due_at) as due_at, max(q.crashes) as most_crashes
          from (
            select r.ctid, r.id, r.due_at, r.crashes from outbound_recipient r
              where r.state = 'queued' and r.destination_id = w.destination and r.class = c.class and r.lease is null
                and r.due_at <= now() and r.due_at >= c.mark
              order by r.due_at limit w.most for update skip locked) q) r
      where r.count > 0
  ), counted as materialized (
    select f.token, min(f.due_at) filter (where f.class = 0) as high, min(f.due_at) filter (where f.class = 1) as normal,
        min(f.due_at) filter (where f.class = 2) as low, sum(f.count) <= f.most and max(f.most_crashes) = 0 as is_plain
      from found f group by f.token, f.most
  ), ranked as (
    select f.token, f.most, u.tid, u.id, u.crashes, row_number() over w as rank, first_value(u.crashes) over w as first_crashes
      from counted n join found f on f.token = n.token
        cross join lateral unnest(f.tids, f.ids, f.crashes) with ordinality u (tid, id, crashes, turn)
      where not n.is_plain
      window w as (partition by f.token order by u.turn / f.weight, f.class)
  ), chosen as materialized (
    select f.token, u.tid, u.id from counted n join found f on f.token = n.token
        cross join lateral unnest(f.tids, f.ids) u (tid, id)
      where n.is_plain
    union all
    select r.token, r.tid, r.id from ranked r
      where r.rank <= r.most and (r.rank = 1 or (r.crashes = 0 and r.first_crashes = 0))
  ), lane as materialized (
    select c.token, array_agg(c.id) as ids, count(*)::int4 as taken from chosen c group by c.token
  ), laned as (
    insert into outbound_lane (token, worker_id, destination_id, recipient_ids) overriding system value
      select l.token, _worker, w.destination, l.ids from lane l join wanted w on w.token = l.token
  ), unlaned as (
    delete from outbound_lane l using lane n join wanted w on w.token = n.token where l.token = w.old
  ), looked as materialized (
    -- Where nothing was found, all is handed out but what is being committed.
    select w.old, w.token, w.destination, w.is_full, coalesce(l.taken, 0) as taken,
        coalesce(n.high, greatest(w.high, now() - interval '5 seconds')) as high,
        coalesce(n.normal, greatest(w.normal, now() - interval '5 seconds')) as normal,
        coalesce(n.low, greatest(w.low, now() - interval '5 seconds')) as low
      from wanted w left join counted n on n.token = w.token left join lane l on l.token = w.token
  ), opened as (
    update outbound_destination d
      set lanes = d.lanes + (n.taken > 0)::int, marks = array[n.high, n.normal, n.low],
          marked_at = case when n.is_full then now() else d.marked_at end,
          rate_at = greatest(d.rate_at, now() - interval '10 seconds') + n.taken * interval '1 minute' / d.per_minute,
          next_due = greatest(now(), greatest(d.rate_at, now() - interval '10 seconds') + n.taken * interval '1 minute' / d.per_minute)
      from looked n where n.old is null and d.id = n.destination
      returning n.token, n.taken, d.route, d.domain, d.max_lanes, d.per_minute, d.blocked_times, n.high, n.normal, n.low
  ), leased as (
    update outbound_recipient r set lease = c.token from chosen c where r.ctid = c.tid
      returning c.token, r.id, r.ctid, r.message_id, r.address, r.notify, r.orcpt, r.attempts, r.crashes, r.delay_notices,
        r.first_attempt_at, r.wanted
  )
  select o.token, null::int8, o.taken, o.route, o.domain, o.max_lanes, o.per_minute, o.blocked_times, o.high, o.normal, o.low,
      null::int8, null::tid, null::int8, null, null, null, null::int2, null::int2, null::int2, null::timestamptz, null
    from opened o
  union all
  select n.token, n.old, n.taken, null, null, null, null, null, n.high, n.normal, n.low,
      null, null, null, null, null, null, null, null, null, null, null
    from looked n where n.old is not null and n.taken > 0
  union all
  select l.token, null, null, null, null, null, null, null, null, null, null,
      l.id, l.ctid, l.message_id, l.address, l.notify, l.orcpt, l.attempts, l.crashes, l.delay_notices, l.first_attempt_at, l.wanted
    from leased l;

  perform outbound_rest(array_agg(n.id)) from unnest(_before, _token, _id, _limit) n (old, token, id, most)
    left join outbound_lane l on l.token = n.token
    where n.old is null and coalesce(cardinality(l.recipient_ids), 0) < n.most having count(*) > 0;
end $$;

-- The messages of recipients in hand, as columns of outbound_message, and whether the bytes are in pieces.
create function outbound_messages(_id int8[])
returns table (
  id int8, blob_hash bytea, prefix bytea, size int8, origin text, account_id int8, domain text, sender text, return_path text,
  envid text, ret text, body text, smtputf8 bool, requiretls bool, deliver_by timestamptz, deliver_by_mode text,
  deliver_by_trace bool, hold_until timestamptz, priority int2, trace_id text, message_id text, accepted_at timestamptz,
  expires_at timestamptz, in_pieces bool
) language sql stable
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
  select m.id, m.blob_hash, m.prefix, m.size, m.origin, m.account_id, m.domain, m.sender, m.return_path, m.envid, m.ret,
      m.body, m.smtputf8, m.requiretls, m.deliver_by, m.deliver_by_mode, m.deliver_by_trace, m.hold_until, m.priority,
      m.trace_id, m.message_id, m.accepted_at, m.expires_at, b.raw is null
    from unnest(_id) i (id) join outbound_message m on m.id = i.id left join blob b on b.hash = m.blob_hash
$$;

-- Recipients that are done: those that are still in hand under the token given, and were not changed since they were
-- claimed, leave the queue and their attempt is told. Returns the others, null: none. outbound_settle knows of them.
--   _token, _id, _tid, _fact, _reply, _ms  one a recipient; _fact: its place in the arrays that follow, from 1
--   the others                             what attempts have in common; few, each attempt looks through them
create function outbound_finish(
  _token int8[], _id int8[], _tid tid[], _fact int4[], _reply text[], _ms int4[],
  _outcome text[], _category text[], _uncertain bool[], _code int4[], _status text[], _host text[], _host_address text[],
  _source_address text[], _tls_version text[], _tls_cipher text[], _tls_policy text[], _tls_verified bool[], _tls_result text[]
) returns int8[] language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set enable_mergejoin = off set jit = off as $$
declare
  _done int8[];
begin
  with done as (
    delete from outbound_recipient r
      using unnest(_token, _id, _tid, _fact, _reply, _ms) o (token, id, tid, fact, reply, ms)
      where r.ctid = o.tid and r.id = o.id and r.lease = o.token
      returning r.id, r.message_id, r.lease, r.attempts, r.address, o.fact, o.reply, o.ms
  ), told as (
    insert into outbound_attempt (message_id, recipient_id, token, attempt, address, outcome, category, uncertain,
        code, status, reply, host, host_address, source_address, tls_version, tls_cipher, tls_policy, tls_verified, tls_result, ms)
      select d.message_id, d.id, d.lease, d.attempts + 1, d.address, f.outcome, f.category, f.uncertain, f.code, f.status,
          d.reply, f.host, f.host_address, f.source_address, f.tls_version, f.tls_cipher, f.tls_policy, f.tls_verified,
          f.tls_result, d.ms
        from done d join unnest(_outcome, _category, _uncertain, _code, _status, _host, _host_address, _source_address,
          _tls_version, _tls_cipher, _tls_policy, _tls_verified, _tls_result) with ordinality
          f (outcome, category, uncertain, code, status, host, host_address, source_address, tls_version, tls_cipher,
            tls_policy, tls_verified, tls_result, place) on f.place = d.fact
      returning recipient_id
  )
  select array_agg(recipient_id) into _done from told;
  if cardinality(_done) = cardinality(_id) then
    return null;
  end if;
  return (select array_agg(i.id) from unnest(_id) i (id) where i.id <> all (coalesce(_done, '{}')));
end $$;

-- Gives lanes back, as in 0006-outbound-queue.sql; where all were settled, as almost always, without a look at their recipients.
create or replace function outbound_leave(
  _worker uuid, _token int8[], _high timestamptz[], _normal timestamptz[], _low timestamptz[],
  _rise real[], _fall real[], _blocked_ms int8[], _reason text[], _is_settled bool[], _most_crashes int4
) returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
  _gone int8[];
  _id int8[];
begin
  if false = any (_is_settled) then
    update outbound_recipient r
      set lease = null, crashes = r.crashes + 1, due_at = clock_timestamp() + interval '1 minute',
          state = case when r.crashes + 1 >= _most_crashes then 'dead' else r.state end,
          reason = case when r.crashes + 1 >= _most_crashes then 'what became of it could not be written' else r.reason end
      from unnest(_token, _is_settled) n (token, is_settled)
        join outbound_lane g on g.token = n.token and g.worker_id = _worker
        cross join lateral unnest(g.recipient_ids) i (id)
      where not n.is_settled and r.id = i.id and r.lease = g.token;
  end if;
  with gone as (
    delete from outbound_lane l where l.token = any (_token) and l.worker_id = _worker returning l.token, l.destination_id
  )
  select array_agg(token), array_agg(destination_id) into _gone, _id from gone;
  if _gone is null then
    return;
  end if;
  perform from outbound_destination d where d.id = any (_id) order by d.id for no key update;
  update outbound_destination d
    set lanes = d.lanes - n.lanes,
        bearable = least(d.max_lanes, greatest(1, (d.bearable + n.rise) * n.fall)),
        blocked_until = case when n.blocked_ms is null then d.blocked_until
          else greatest(d.blocked_until, now() + n.blocked_ms * interval '1 millisecond') end,
        blocked_reason = coalesce(n.reason, case when n.rise > 0 then null else d.blocked_reason end),
        blocked_times = case when n.blocked_ms is not null then least(d.blocked_times + 1, 1000)
          when n.rise > 0 then 0 else d.blocked_times end,
        marks = array[greatest(d.marks[1], n.mark0), greatest(d.marks[2], n.mark1), greatest(d.marks[3], n.mark2)]
    from (
      select g.id, count(*)::int2 as lanes, sum(m.rise)::real as rise, min(m.fall) as fall, max(m.blocked_ms) as blocked_ms,
          max(m.reason) as reason, max(m.high) as mark0, max(m.normal) as mark1, max(m.low) as mark2
        from unnest(_gone, _id) g (token, id)
        join unnest(_token, _rise, _fall, _blocked_ms, _reason, _high, _normal, _low)
          m (token, rise, fall, blocked_ms, reason, high, normal, low) on m.token = g.token
        group by g.id) n
    where d.id = n.id;
  perform outbound_rest(_id);
end $$;

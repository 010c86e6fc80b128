-- The queue of outbound mail: a row per recipient, written by the transaction that accepts the message.
--
-- Claiming must stay as fast with a million rows as with a thousand, also while somebody holds an old snapshot and no
-- dead row can be removed. Hence:
--   - A worker first takes a lane at destinations that are due and open, then rows of those destinations. Rows of a
--     destination that is blocked or has no lane free are never looked at.
--   - A claim changes only outbound_recipient.lease, which no index knows: the update stays in its page.
--   - Index entries of rows that are done pile up in front of those that wait. A destination's marks say up to where
--     each class has been handed out; what comes back below a mark is given a new due_at.
-- Whoever locks destinations does so in the order of their ids. Accounts and blobs are locked before (0002-mail.sql).

create table outbound_message (
  id bigint generated always as identity primary key,
  blob_hash bytea not null,
  -- Trace and signature fields of this sending, put before the blob's bytes.
  prefix bytea not null,
  -- Of prefix and blob.
  size bigint not null,
  origin text not null check (origin in ('submission', 'forward', 'notice')),
  account_id bigint,
  domain text not null,
  -- Empty: <>.
  sender text not null,
  return_path text,
  envid text,
  ret text check (ret in ('full', 'headers')),
  body text not null check (body in ('7bit', '8bitmime')),
  smtputf8 boolean not null,
  requiretls boolean not null,
  deliver_by timestamptz,
  deliver_by_mode text check (deliver_by_mode in ('return', 'notify')),
  deliver_by_trace boolean not null,
  hold_until timestamptz,
  priority smallint not null check (priority between -9 and 9),
  -- The id of its way in, in the log.
  trace_id text not null,
  -- Message-ID of its header.
  message_id text,
  accepted_at timestamptz not null default now(),
  expires_at timestamptz not null
);
create index outbound_message_blob_hash on outbound_message (blob_hash);
create index outbound_message_sender on outbound_message (sender);

-- A next hop, and how it is used at present by all processes together.
create table outbound_destination (
  id bigint generated always as identity primary key,
  route text not null,
  -- Empty: the route has one next hop for all domains.
  domain text not null,
  -- When to look for rows; null: there is none.
  next_due timestamptz,
  -- Lanes in use, that is connections; how many the next hop bears at present, and how many it may ever have.
  lanes smallint not null default 0,
  bearable real not null,
  max_lanes smallint not null,
  is_open boolean not null generated always as (lanes < least(max_lanes, greatest(1, floor(bearable)))) stored,
  -- Recipients a minute, null: no bound, and when the next may go. Ten seconds' worth may go at once.
  per_minute integer,
  rate_at timestamptz,
  blocked_until timestamptz,
  blocked_reason text,
  -- Times in a row that it was found blocked.
  blocked_times smallint not null default 0,
  -- One a class: rows due before it were handed out, as far as who gave a lane back knows. And when all were looked at.
  marks timestamptz[] not null default array['-infinity', '-infinity', '-infinity']::timestamptz[],
  marked_at timestamptz not null default '-infinity',
  unique (route, domain)
) with (fillfactor = 50);
create index outbound_destination_next_due on outbound_destination (next_due) where is_open and next_due is not null;

create table outbound_recipient (
  id bigint generated always as identity primary key,
  message_id bigint not null,
  destination_id bigint not null,
  -- 0 high, 1 normal, 2 low.
  class smallint not null,
  state text not null default 'queued' check (state in ('queued', 'held', 'dead', 'captured')),
  due_at timestamptz not null,
  -- The token of the lane that has it in hand.
  lease bigint,
  address text not null,
  -- Canonical, of the address.
  domain text not null,
  -- RFC 3461 section 4.1, blank between the words; null: not given.
  notify text,
  orcpt text,
  attempts smallint not null default 0,
  crashes smallint not null default 0,
  delay_notices smallint not null default 0,
  first_attempt_at timestamptz,
  -- The last reply, or why it is held or dead.
  reason text,
  -- What an administrator wants of it, done by the worker that next has it in hand.
  wanted text check (wanted in ('hold', 'cancel', 'cancel-quietly'))
) with (fillfactor = 60);
create index outbound_recipient_due on outbound_recipient (destination_id, class, due_at) where state = 'queued';
create index outbound_recipient_message_id on outbound_recipient (message_id);
create index outbound_recipient_state on outbound_recipient (state, id) where state <> 'queued';

-- Processes that work on the queue. Who is not alive any more loses its lanes to whoever looks.
create table outbound_worker (
  id uuid primary key,
  name text not null,
  alive_until timestamptz not null
) with (fillfactor = 50);

-- Lanes in use; the token changes with every batch, and with it the lease of the recipients in hand.
create table outbound_lane (
  token bigint generated always as identity primary key,
  worker_id uuid not null,
  destination_id bigint not null,
  recipient_ids bigint[] not null
);
create index outbound_lane_worker_id on outbound_lane (worker_id);

-- Every attempt. Insert-only; kept for a time after the message is done.
create table outbound_attempt (
  message_id bigint not null,
  recipient_id bigint not null,
  -- Of the lease it was made under.
  token bigint not null,
  at timestamptz not null default now(),
  attempt smallint not null,
  address text not null,
  outcome text not null,
  category text,
  -- The final dot went out and no answer came, or the worker was lost: the peer may have the message.
  uncertain boolean not null default false,
  -- Told after the lease was lost: it changed nothing.
  stale boolean not null default false,
  code smallint,
  status text,
  reply text,
  host text,
  host_address text,
  source_address text,
  tls_version text,
  tls_cipher text,
  tls_policy text,
  tls_verified boolean,
  tls_result text,
  ms integer
);
create index outbound_attempt_message_id on outbound_attempt (message_id);
create index outbound_attempt_at on outbound_attempt using brin (at);

-- Queues messages. The caller's transaction may have stored copies for local accounts before.
--   _batch        its id, for delivery_batch; null: the caller sees to it
--   blobs         _hash, _size (of the raw bytes), _raw (null: stored before)
--   _prefix       one a message
--   _messages     JSON, one a message: blob (place in the blobs, from 1) and the columns of outbound_message
--   _recipients   JSON, one a recipient: message (place, from 1), destination (place), class, address, domain, notify,
--                 orcpt, held (the reason, or null)
--   _destinations JSON: route, domain, maxLanes, perMinute
-- Returns a JSON array of the messages' ids, or null: a blob is gone, nothing was queued.
create function outbound_enqueue(
  _batch uuid, _hash bytea[], _size int8[], _raw bytea[], _prefix bytea[], _messages jsonb, _recipients jsonb, _destinations jsonb
) returns json language plpgsql as $$
declare
  _held bytea[];
  _message_id int8[];
  _destination_id int8[];
begin
  -- Who looks for the outcome after a lost connection waits here for the end of this transaction.
  if _batch is not null then
    perform pg_advisory_xact_lock(hashtextextended(_batch::text, 0));
  end if;

  -- A blob that is there already is locked against the sweeper. It may go between the two statements: then again.
  loop
    insert into blob (hash, size, raw)
      select b.hash, b.size, b.raw from unnest(_hash, _size, _raw) b (hash, size, raw) where b.raw is not null order by b.hash
      on conflict (hash) do nothing;
    select array_agg(h.hash) into _held
      from (select hash from blob where hash = any (_hash) order by hash for key share) h;
    exit when not exists (
      select from unnest(_hash, _raw) b (hash, raw) where b.raw is not null and b.hash <> all (coalesce(_held, '{}')));
  end loop;
  if exists (select from unnest(_hash) b (hash) where b.hash <> all (coalesce(_held, '{}'))) then
    return null;
  end if;

  insert into outbound_destination (route, domain, max_lanes, bearable, per_minute)
    select w.route, w.domain, w."maxLanes", least(w."maxLanes", 4), w."perMinute"
      from jsonb_to_recordset(_destinations) w (route text, domain text, "maxLanes" int2, "perMinute" int4)
      where not exists (select from outbound_destination d where d.route = w.route and d.domain = w.domain)
      order by w.route, w.domain
      on conflict (route, domain) do nothing;
  -- While we hold this, nobody who finds the destination empty may put it to rest: our rows are not visible yet.
  perform from outbound_destination d
    where (d.route, d.domain) in (
      select w.route, w.domain from jsonb_to_recordset(_destinations) w (route text, domain text))
    order by d.id for key share;
  select array_agg(d.id order by w.place) into _destination_id
    from rows from (jsonb_to_recordset(_destinations) as (route text, domain text)) with ordinality w (route, domain, place)
    join outbound_destination d on d.route = w.route and d.domain = w.domain;

  select array_agg(nextval('outbound_message_id_seq')) into _message_id from generate_series(1, cardinality(_prefix));
  insert into outbound_message (id, blob_hash, prefix, size, origin, account_id, domain, sender, return_path, envid, ret,
      body, smtputf8, requiretls, deliver_by, deliver_by_mode, deliver_by_trace, hold_until, priority, trace_id, message_id, expires_at)
    overriding system value
    select _message_id[m.place], _hash[m.blob], _prefix[m.place], _size[m.blob] + length(_prefix[m.place]), m.origin,
        m.account_id, m.domain, m.sender, m.return_path, m.envid, m.ret, m.body, m.smtputf8, m.requiretls, m.deliver_by,
        m.deliver_by_mode, m.deliver_by_trace, m.hold_until, m.priority, m.trace_id, m.message_id, m.expires_at
      from rows from (jsonb_to_recordset(_messages) as (
        blob int4, origin text, account_id int8, domain text, sender text, return_path text, envid text, ret text,
        body text, smtputf8 bool, requiretls bool, deliver_by timestamptz, deliver_by_mode text, deliver_by_trace bool,
        hold_until timestamptz, priority int2, trace_id text, message_id text, expires_at timestamptz)) with ordinality m (
        blob, origin, account_id, domain, sender, return_path, envid, ret, body, smtputf8, requiretls, deliver_by,
        deliver_by_mode, deliver_by_trace, hold_until, priority, trace_id, message_id, expires_at, place);

  insert into outbound_recipient (message_id, destination_id, class, state, due_at, address, domain, notify, orcpt, reason)
    select _message_id[r.message], _destination_id[r.destination], r.class,
        case when r.held is null then 'queued' else 'held' end,
        greatest(clock_timestamp(), (_messages -> (r.message - 1) ->> 'hold_until')::timestamptz),
        r.address, r.domain, r.notify, r.orcpt, r.held
      from jsonb_to_recordset(_recipients) r (
        message int4, destination int4, class int2, address text, domain text, notify text, orcpt text, held text);

  if _batch is not null then
    insert into delivery_batch (id, result) values (_batch, array_to_json(_message_id));
  end if;
  perform outbound_rouse(_destination_id);
  return array_to_json(_message_id);
end $$;

-- Has workers look at the destinations at once, unless nothing may go there before a later time.
create function outbound_rouse(_destination_id int8[]) returns void language sql as $$
  with asleep as (
    select id, greatest(clock_timestamp(), blocked_until, rate_at) as at from outbound_destination
      where id = any (_destination_id)
        and (next_due is null or next_due > greatest(clock_timestamp(), blocked_until, rate_at))
      order by id for no key update
  )
  update outbound_destination d set next_due = a.at from asleep a where d.id = a.id
$$;

-- The settings of the functions below: whatever the statistics say, rows are found by index, one after the other.

-- Puts up to _limit due recipients of each destination into the hands of a lane with the token beside it. Looks at each
-- class from its mark on, and returns, in the same order, how many were taken and the marks from which to look next.
-- While all classes wait, of thirteen recipients eight are high, four normal, one low. A recipient that a worker was lost
-- with is taken alone, so that it can harm no other again.
create function outbound_take(
  _worker uuid, _token int8[], _destination_id int8[], _limit int4[],
  _high timestamptz[], _normal timestamptz[], _low timestamptz[]
) returns table (place int8, taken int4, high timestamptz, normal timestamptz, low timestamptz) language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
#variable_conflict use_column
begin
  return query
  with wanted as materialized (
    select w.* from unnest(_token, _destination_id, _limit, _high, _normal, _low) with ordinality
      w (token, destination, most, high, normal, low, place)
  ), found as materialized (
    select w.place, w.most, c.class, r.id, r.due_at, r.crashes,
        row_number() over (partition by w.place, c.class order by r.due_at, r.id) / c.weight as turn
      from wanted w
      cross join lateral (values (0::int2, 8.0::real, w.high), (1::int2, 4.0::real, w.normal), (2::int2, 1.0::real, w.low)) c (class, weight, mark)
      cross join lateral (
        select r.id, r.due_at, r.crashes from outbound_recipient r
          where r.state = 'queued' and r.destination_id = w.destination and r.class = c.class and r.lease is null
            and r.due_at <= now() and r.due_at >= c.mark
          order by r.due_at limit w.most for update skip locked) r
  ), ranked as (
    select f.*, row_number() over w as rank, first_value(f.crashes) over w as first_crashes
      from found f window w as (partition by f.place order by f.turn, f.class, f.due_at, f.id)
  ), chosen as materialized (
    select r.place, r.rank, r.id, w.token, w.destination from ranked r join wanted w on w.place = r.place
      where r.rank <= r.most and (r.rank = 1 or (r.crashes = 0 and r.first_crashes = 0))
  ), leased as (
    update outbound_recipient r set lease = c.token from chosen c where r.id = c.id
  ), laned as (
    insert into outbound_lane (token, worker_id, destination_id, recipient_ids) overriding system value
      select c.token, _worker, c.destination, array_agg(c.id order by c.rank) from chosen c group by c.token, c.destination
  ), counted as (
    select f.place, min(f.due_at) filter (where f.class = 0) as high, min(f.due_at) filter (where f.class = 1) as normal,
        min(f.due_at) filter (where f.class = 2) as low
      from found f group by f.place
  )
  -- Where nothing was found, all is handed out but what is being committed.
  select w.place, (select count(*)::int4 from chosen c where c.place = w.place),
      coalesce(n.high, greatest(w.high, now() - interval '5 seconds')),
      coalesce(n.normal, greatest(w.normal, now() - interval '5 seconds')),
      coalesce(n.low, greatest(w.low, now() - interval '5 seconds'))
    from wanted w left join counted n on n.place = w.place
    order by w.place;
end $$;

-- Puts destinations to rest until their next row is due; they are locked by the caller. One whose rows are still being
-- committed by somebody, or were not all looked at lately, is looked at once more before.
create function outbound_rest(_destination_id int8[]) returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
  _alone int8[];
begin
  select coalesce(array_agg(d.id), '{}') into _alone
    from (select id from outbound_destination where id = any (_destination_id) for update skip locked) d;
  update outbound_destination d
    set next_due = case
        when d.id <> all (_alone) then greatest(clock_timestamp() + interval '200 milliseconds', d.blocked_until, d.rate_at)
        when n.due_at is not null then greatest(n.due_at, now(), d.blocked_until, d.rate_at)
        when n.is_full then null
        else d.marked_at + interval '61 seconds'
      end
    from (
      select x.id, x.is_full, (
          select min(r.due_at)
            from unnest(case when x.is_full then array['-infinity', '-infinity', '-infinity']::timestamptz[] else x.marks end)
              with ordinality c (mark, place)
            cross join lateral (
              select r.due_at from outbound_recipient r
                where r.state = 'queued' and r.destination_id = x.id and r.class = (c.place - 1)::int2 and r.lease is null
                  and r.due_at >= c.mark
                order by r.due_at limit 1) r) as due_at
        from (
          select id, marks, marked_at = now() or marked_at < now() - interval '60 seconds' as is_full
            from outbound_destination where id = any (_destination_id)) x
    ) n
    where d.id = n.id;
end $$;

-- Opens up to _lanes lanes for a worker, at destinations that are due and open, and takes up to _rows recipients for each.
-- Returns a row for each destination that was looked at; where none was taken there is no lane.
-- _since: destinations that are due for longer are passed over (-infinity: none are).
create function outbound_claim(_worker uuid, _lanes int4, _rows int4, _since timestamptz)
returns table (
  taken int4, token int8, destination_id int8, route text, domain text, max_lanes int2, per_minute int4,
  blocked_times int2, high timestamptz, normal timestamptz, low timestamptz
) language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
#variable_conflict use_column
declare
  _id int8[];
  _token int8[];
  _limit int4[];
  _full bool[];
  _mark0 timestamptz[];
  _mark1 timestamptz[];
  _mark2 timestamptz[];
  _taken int4[];
begin
  perform from outbound_worker where id = _worker for key share;
  if not found then
    return;
  end if;
  select array_agg(d.id), array_agg(nextval('outbound_lane_token_seq')), array_agg(d.is_full), array_agg(d.most),
      array_agg(case when d.is_full then '-infinity' else d.marks[1] end),
      array_agg(case when d.is_full then '-infinity' else d.marks[2] end),
      array_agg(case when d.is_full then '-infinity' else d.marks[3] end)
    into _id, _token, _full, _limit, _mark0, _mark1, _mark2
    from (
      select d.id, d.marks, d.marked_at < now() - interval '60 seconds' as is_full,
          case when d.per_minute is null then _rows else least(_rows, 1 + floor(d.per_minute / 60.0
            * extract(epoch from now() - greatest(d.rate_at, now() - interval '10 seconds')))::int4) end as most
        from outbound_destination d
        where d.is_open and d.next_due <= now() and d.next_due >= _since
        order by d.next_due limit _lanes for no key update skip locked) d;
  if _id is null then
    return;
  end if;

  select array_agg(t.taken order by t.place), array_agg(t.high order by t.place), array_agg(t.normal order by t.place),
      array_agg(t.low order by t.place)
    into _taken, _mark0, _mark1, _mark2
    from outbound_take(_worker, _token, _id, _limit, _mark0, _mark1, _mark2) t;

  update outbound_destination d
    set lanes = d.lanes + (n.taken > 0)::int, marks = array[n.mark0, n.mark1, n.mark2],
        marked_at = case when n.is_full then now() else d.marked_at end,
        rate_at = greatest(d.rate_at, now() - interval '10 seconds') + n.taken * interval '1 minute' / d.per_minute,
        next_due = greatest(now(), greatest(d.rate_at, now() - interval '10 seconds') + n.taken * interval '1 minute' / d.per_minute)
    from unnest(_id, _taken, _full, _mark0, _mark1, _mark2) n (id, taken, is_full, mark0, mark1, mark2)
    where d.id = n.id;
  perform outbound_rest(array_agg(n.id)) from unnest(_id, _taken, _limit) n (id, taken, most)
    where n.taken < n.most having count(*) > 0;

  return query
  select n.taken, n.token, d.id, d.route, d.domain, d.max_lanes, d.per_minute, d.blocked_times, n.mark0, n.mark1, n.mark2
    from unnest(_id, _token, _taken, _mark0, _mark1, _mark2) n (id, token, taken, mark0, mark1, mark2)
    join outbound_destination d on d.id = n.id;
end $$;

-- The next batch of lanes whose last one has been settled. Marks: those that the worker knows. A lane that gets none is
-- kept, empty; none is given where the destination is blocked, limited in its pace, or bears fewer lanes by now.
create function outbound_next(
  _worker uuid, _token int8[], _rows int4, _high timestamptz[], _normal timestamptz[], _low timestamptz[]
) returns table (old_token int8, token int8, high timestamptz, normal timestamptz, low timestamptz) language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
#variable_conflict use_column
declare
  _old int8[];
  _new int8[];
  _id int8[];
  _mark0 timestamptz[];
  _mark1 timestamptz[];
  _mark2 timestamptz[];
  _taken int4[];
begin
  perform from outbound_worker where id = _worker for key share;
  if not found then
    return;
  end if;
  select array_agg(l.token), array_agg(nextval('outbound_lane_token_seq')), array_agg(l.destination_id),
      array_agg(n.high), array_agg(n.normal), array_agg(n.low)
    into _old, _new, _id, _mark0, _mark1, _mark2
    from unnest(_token, _high, _normal, _low) n (token, high, normal, low)
    join outbound_lane l on l.token = n.token and l.worker_id = _worker
    join outbound_destination d on d.id = l.destination_id
    where d.lanes <= least(d.max_lanes, greatest(1, floor(d.bearable))) and d.per_minute is null
      and (d.blocked_until is null or d.blocked_until < now());
  if _old is null then
    return;
  end if;
  select array_agg(t.taken order by t.place), array_agg(t.high order by t.place), array_agg(t.normal order by t.place),
      array_agg(t.low order by t.place)
    into _taken, _mark0, _mark1, _mark2
    from outbound_take(_worker, _new, _id, array_fill(_rows, array[cardinality(_id)]), _mark0, _mark1, _mark2) t;
  delete from outbound_lane l using unnest(_old, _taken) n (old, taken) where l.token = n.old and n.taken > 0;
  return query
  select n.old, n.new, n.mark0, n.mark1, n.mark2
    from unnest(_old, _new, _taken, _mark0, _mark1, _mark2) n (old, new, taken, mark0, mark1, mark2) where n.taken > 0;
end $$;

-- Gives lanes back, whose connections are closed and whose recipients were settled.
--   _is_settled  false: something went wrong; what is still in hand comes back in a minute, as if its worker had been lost
--   _rise        how many more lanes the destination bears, _fall: by which factor fewer
--   _blocked_ms  how long nothing goes there; null: it is not blocked. _reason: why
create function outbound_leave(
  _worker uuid, _token int8[], _high timestamptz[], _normal timestamptz[], _low timestamptz[],
  _rise real[], _fall real[], _blocked_ms int8[], _reason text[], _is_settled bool[], _most_crashes int4
) returns void language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off as $$
declare
  _gone int8[];
  _id int8[];
begin
  with gone as (
    delete from outbound_lane l where l.token = any (_token) and l.worker_id = _worker
      returning l.token, l.destination_id, l.recipient_ids
  ), put_back as (
    update outbound_recipient r
      set lease = null, crashes = r.crashes + 1, due_at = clock_timestamp() + interval '1 minute',
          state = case when r.crashes + 1 >= _most_crashes then 'dead' else r.state end,
          reason = case when r.crashes + 1 >= _most_crashes then 'what became of it could not be written' else r.reason end
      from gone g join unnest(_token, _is_settled) n (token, is_settled) on n.token = g.token and not n.is_settled
        cross join lateral unnest(g.recipient_ids) i (id)
      where r.id = i.id and r.lease = g.token
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

-- Writes what became of recipients, those alone that are still in hand under the token given.
-- Arrays of one length: _token, _id (recipient), _message, _address, _attempt, _next (gone, queued, held, dead, captured;
-- untried: given back as it was), _due (null: now), _reason, and the columns of outbound_attempt.
-- Returns the recipients that were not in hand any more. To call it again after an unknown outcome does no harm: what was
-- settled under the same token is not among them, unless _is_strict.
create function outbound_settle(
  _token int8[], _id int8[], _message int8[], _address text[], _attempt int4[], _next text[], _due timestamptz[],
  _reason text[], _outcome text[], _category text[], _uncertain bool[], _code int4[], _status text[], _reply text[],
  _host text[], _host_address text[], _source_address text[], _tls_version text[], _tls_cipher text[],
  _tls_policy text[], _tls_verified bool[], _tls_result text[], _ms int4[], _is_strict bool
) returns int8[] language plpgsql
set plan_cache_mode = force_generic_plan set enable_seqscan = off set enable_bitmapscan = off set jit = off as $$
declare
  _done int8[];
  _refused int8[];
begin
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
      set lease = null, due_at = coalesce(o.due, clock_timestamp()), reason = coalesce(o.reason, r.reason),
          state = case when o.next = 'untried' then 'queued' when o.next = 'queued' and r.wanted = 'hold' then 'held' else o.next end,
          wanted = nullif(r.wanted, 'hold'),
          attempts = r.attempts + (o.next <> 'untried')::int4,
          crashes = case when o.next = 'untried' then r.crashes else 0 end,
          first_attempt_at = case when o.next = 'untried' then r.first_attempt_at else coalesce(r.first_attempt_at, now()) end
      from o where r.id = o.id and r.lease = o.token and o.next <> 'gone' returning r.id
  ), settled as materialized (
    select id from removed union all select id from kept
  ), told as (
    insert into outbound_attempt (message_id, recipient_id, token, attempt, address, outcome, category, uncertain, stale,
        code, status, reply, host, host_address, source_address, tls_version, tls_cipher, tls_policy, tls_verified, tls_result, ms)
      select o.message, o.id, o.token, o.attempt, o.address, o.outcome, o.category, coalesce(o.uncertain, false), false,
          o.code, o.status, o.reply, o.host, o.host_address, o.source_address, o.tls_version, o.tls_cipher, o.tls_policy,
          o.tls_verified, o.tls_result, o.ms
        from settled join o on o.id = settled.id where o.next <> 'untried'
  )
  select coalesce(array_agg(id), '{}') into _done from settled;
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

-- Takes their lanes from workers that were not heard of for longer than their time, and gives the recipients to whoever
-- claims next. A recipient with which _most_crashes workers were lost is dead. Does nothing for a while (_seconds) after
-- the start of the database: workers that have an outcome to write come back first. Returns the number of lanes.
create function outbound_reap(_seconds int4, _most_crashes int4) returns int4 language plpgsql as $$
declare
  _destination_id int8[];
  _lanes int2[];
  _count int4;
begin
  if pg_postmaster_start_time() > now() - make_interval(secs => _seconds) then
    return 0;
  end if;
  delete from outbound_worker where id in (
    select id from outbound_worker where alive_until < now() order by id for update skip locked);
  with gone as (
    delete from outbound_lane l
      where not exists (select from outbound_worker w where w.id = l.worker_id) returning l.*
  ), put_back as (
    update outbound_recipient r
      set lease = null, crashes = r.crashes + 1, due_at = clock_timestamp(),
          state = case when r.crashes + 1 >= _most_crashes then 'dead' when r.wanted = 'hold' then 'held' else r.state end,
          reason = case when r.crashes + 1 >= _most_crashes then 'workers were lost with it' else r.reason end
      from gone g where r.lease = g.token and r.id = any (g.recipient_ids)
      returning r.message_id, r.id, g.token, r.attempts, r.address
  ), told as (
    insert into outbound_attempt (message_id, recipient_id, token, attempt, address, outcome, uncertain)
      select p.message_id, p.id, p.token, p.attempts + 1, p.address, 'lapsed', true from put_back p
  )
  select array_agg(n.destination_id), array_agg(n.lanes), coalesce(sum(n.lanes), 0) into _destination_id, _lanes, _count
    from (select destination_id, count(*)::int2 as lanes from gone group by destination_id) n;
  if _count = 0 then
    return 0;
  end if;
  perform from outbound_destination d where d.id = any (_destination_id) order by d.id for no key update;
  update outbound_destination d set lanes = d.lanes - n.lanes
    from unnest(_destination_id, _lanes) n (id, lanes) where d.id = n.id;
  perform outbound_rouse(_destination_id);
  return _count;
end $$;

-- Gives back, as they were, the lanes of a worker that it does not know of: their claim was committed and the answer lost.
-- Returns the number of lanes.
create function outbound_disown(_worker uuid, _known int8[]) returns int4 language plpgsql as $$
declare
  _destination_id int8[];
  _lanes int2[];
begin
  with gone as (
    delete from outbound_lane l where l.worker_id = _worker and l.token <> all (_known) returning l.*
  ), put_back as (
    update outbound_recipient r set lease = null, due_at = clock_timestamp()
      from gone g where r.lease = g.token and r.id = any (g.recipient_ids)
  )
  select array_agg(n.destination_id), array_agg(n.lanes) into _destination_id, _lanes
    from (select destination_id, count(*)::int2 as lanes from gone group by destination_id) n;
  if _destination_id is null then
    return 0;
  end if;
  perform from outbound_destination d where d.id = any (_destination_id) order by d.id for no key update;
  update outbound_destination d set lanes = d.lanes - n.lanes
    from unnest(_destination_id, _lanes) n (id, lanes) where d.id = n.id;
  perform outbound_rouse(_destination_id);
  return (select sum(n)::int4 from unnest(_lanes) n);
end $$;

-- What accounts may send, the keys that sign it, and addresses that get nothing.

-- Limits on mail to other systems, a message to ten people counted as ten; null: the server's own.
alter table account
  add column messages_per_hour integer check (messages_per_hour >= 0),
  add column messages_per_day integer check (messages_per_day >= 0),
  add column new_recipients_per_day integer check (new_recipients_per_day >= 0),
  add column recipients_per_message integer check (recipients_per_message >= 1),
  -- A copy of what is handed in goes to the mailbox \Sent.
  add column saves_sent boolean not null default false;
-- Of all accounts of the domain together; null: none.
alter table domain
  add column messages_per_hour integer check (messages_per_hour >= 0),
  add column messages_per_day integer check (messages_per_day >= 0),
  add column new_recipients_per_day integer check (new_recipients_per_day >= 0);
-- Its members may send with its address.
alter table alias add column send_as boolean not null default false;

-- A limit's theoretical arrival time (GCRA). Rows whose time has passed say nothing and may be removed.
create table sending_rate (
  -- `account` and an id, or `domain` and an id; hour, day, new.
  subject text not null,
  kind text not null,
  tat timestamptz not null,
  primary key (subject, kind)
) with (fillfactor = 50);

-- Whom an account has written to; kept only where new recipients are limited.
create table known_recipient (
  account_id bigint not null references account (id) on delete cascade,
  address text not null,
  primary key (account_id, address)
);

-- Takes room for a message from every limit that applies, or from none.
--   _limits  JSON, each: subject, kind (hour, day or new), most (in the time of the kind). A limit `new` counts those
--            of _addresses that the account has not written to before, the others count all.
-- A limit of N lets N through at once, and from then on one each N-th part of its time.
-- Returns null: taken. Else the limit that lacks most room: its place (from 1) and in how many seconds there will be
-- room, null where there never will be.
create function sending_take(_account_id int8, _addresses text[], _limits jsonb)
returns table (place int8, seconds int8) language plpgsql as $$
declare
  _new text[];
begin
  insert into sending_rate (subject, kind, tat)
    select l.subject, l.kind, '-infinity' from jsonb_to_recordset(_limits) l (subject text, kind text)
      where not exists (select from sending_rate r where r.subject = l.subject and r.kind = l.kind)
      order by l.subject, l.kind
    on conflict do nothing;
  perform from sending_rate r
    where (r.subject, r.kind) in (select l.subject, l.kind from jsonb_to_recordset(_limits) l (subject text, kind text))
    order by r.subject, r.kind for no key update;
  select coalesce(array_agg(distinct a.address), '{}') into _new
    from unnest(_addresses) a (address)
    where exists (select from jsonb_to_recordset(_limits) l (kind text) where l.kind = 'new')
      and not exists (select from known_recipient k where k.account_id = _account_id and k.address = a.address);

  return query
  select w.place, w.seconds from (
    select l.place,
        case when l.most < n.cost then null
          else ceil(extract(epoch from greatest(r.tat, clock_timestamp()) - clock_timestamp())
            + (n.cost - l.most) * t.seconds / l.most)::int8 end as seconds
      from rows from (jsonb_to_recordset(_limits) as (subject text, kind text, most int4)) with ordinality
        l (subject, kind, most, place)
      cross join lateral (select case l.kind when 'hour' then 3600.0 else 86400.0 end as seconds) t
      cross join lateral (select case l.kind when 'new' then cardinality(_new) else cardinality(_addresses) end as cost) n
      left join sending_rate r on r.subject = l.subject and r.kind = l.kind
      where n.cost > 0) w
    where w.seconds is null or w.seconds > 0
    order by w.seconds desc nulls first, w.place limit 1;
  if found then
    return;
  end if;

  update sending_rate r
    set tat = greatest(r.tat, clock_timestamp()) + n.cost * t.seconds / l.most * interval '1 second'
    from jsonb_to_recordset(_limits) l (subject text, kind text, most int4)
    cross join lateral (select case l.kind when 'hour' then 3600.0 else 86400.0 end as seconds) t
    cross join lateral (select case l.kind when 'new' then cardinality(_new) else cardinality(_addresses) end as cost) n
    where r.subject = l.subject and r.kind = l.kind and n.cost > 0;
  insert into known_recipient (account_id, address) select _account_id, unnest(_new) on conflict do nothing;
end $$;

-- DKIM keys of a domain (RFC 6376). The reconciler makes them; servers sign with those that are active.
--   pending   to be published, not used yet
--   active    signs, and is to be published
--   retiring  signs no more, and stays published until what it signed has arrived
create table dkim_key (
  domain_id bigint not null references domain (id) on delete cascade,
  selector text not null,
  algorithm text not null check (algorithm in ('rsa2048', 'ed25519')),
  state text not null check (state in ('pending', 'active', 'retiring')),
  -- The value of p= in the record.
  public_key text not null,
  -- PKCS #8, sealed with the key `seal_key_id` of the keyring.
  private_key bytea not null,
  seal_key_id text not null,
  state_since timestamptz not null default now(),
  primary key (domain_id, selector)
);
create unique index dkim_key_active on dkim_key (domain_id, algorithm) where state = 'active';
-- Null: the defaults. An empty array: mail of the domain is not signed.
alter table domain
  add column dkim_algorithms text[],
  add column dkim_rotation_seconds bigint,
  add column dkim_overlap_seconds bigint;

-- Addresses that a domain of ours sends nothing to.
create table suppression (
  -- Canonical, both.
  domain text not null,
  address text not null,
  origin text not null check (origin in ('bounce', 'complaint', 'manual')),
  -- What the peer said, or why an administrator put it here.
  reason text not null,
  -- How often it was found so.
  hits integer not null default 1,
  since timestamptz not null default now(),
  -- null: until it is removed.
  expires_at timestamptz,
  primary key (domain, address)
);
create index suppression_expires_at on suppression (expires_at) where expires_at is not null;

--! oldest-server 2
-- Mail: accounts' counters, mailboxes, messages, blobs, the change log.
-- Every table but `blob` and `delivery_batch` leads with account_id, so that the schema can be distributed by account.
-- There are no foreign keys: a trigger makes and removes an account's rows, the janitor removes blobs.
-- Whoever writes an account's mail holds the lock of its account_state row, taken before any other lock and in id
-- order where there are several; blobs are locked after that, in the order of their hashes.

-- Above every UIDVALIDITY ever given in this database, so a name used again (RFC 3501 section 2.3.1.1), or an
-- account made again, gets a higher one. Starts at the time, so another database that replaces this one goes on above it.
create sequence uidvalidity_seq as bigint minvalue 1 maxvalue 4294967295;
select setval('uidvalidity_seq', extract(epoch from now())::bigint);

-- The hot row of an account. Modseq is one number for IMAP (RFC 7162), JMAP and events.
create table account_state (
  account_id bigint primary key,
  modseq bigint not null default 1,
  used_bytes bigint not null default 0,
  messages bigint not null default 0,
  -- The change log is complete for modseqs above this.
  log_floor bigint not null default 0,
  -- mailbox_name forgot nothing above this UIDVALIDITY.
  name_floor bigint not null default 0
) with (fillfactor = 50);

create table mailbox (
  account_id bigint not null,
  id bigint generated always as identity,
  name text collate "C" not null,
  -- RFC 6154 section 2, without the backslash.
  special_use text,
  uidvalidity bigint not null default nextval('uidvalidity_seq'),
  uidnext bigint not null default 1,
  highest_modseq bigint not null,
  messages bigint not null default 0,
  unseen bigint not null default 0,
  size bigint not null default 0,
  -- Messages with a UID from here on are \Recent to the next session.
  recent_from bigint not null default 1,
  -- The place of a keyword is its bit in the pages; only grows.
  keywords text[] not null default '{}',
  primary key (account_id, id)
) with (fillfactor = 50);
create unique index mailbox_account_id_name on mailbox (account_id, name);

-- The highest UIDVALIDITY that a name had before the mailbox that has it now.
create table mailbox_name (
  account_id bigint not null,
  name text collate "C" not null,
  uidvalidity bigint not null,
  primary key (account_id, name)
);

create table subscription (
  account_id bigint not null,
  name text collate "C" not null,
  primary key (account_id, name)
);

-- The bytes of a message as received, once for all that have it, by SHA-256. Insert-only.
create table blob (
  hash bytea primary key,
  size bigint not null,
  -- null: in blob_piece, for messages over 1 MiB.
  raw bytea,
  at timestamptz not null default now()
);
-- Not compressed: a slice is read without the rest.
alter table blob alter raw set storage external;

create table blob_piece (
  hash bytea not null,
  piece integer not null,
  data bytea not null,
  primary key (hash, piece)
);
alter table blob_piece alter data set storage external;

-- One message of one account, whatever mailboxes it lies in (RFC 8474 EMAILID).
create table email (
  account_id bigint not null,
  id bigint generated always as identity,
  blob_hash bytea not null,
  -- Trace fields of this delivery, put before the blob's bytes.
  prefix bytea not null,
  -- Of prefix and blob: RFC822.SIZE.
  size bigint not null,
  -- As RFC 3501 section 7.4.2 has them; a code point below 256 stands for one byte.
  envelope text not null,
  bodystructure text not null,
  -- Where the MIME parts lie in the blob.
  parts text not null,
  -- The Date field, and its calendar day as written there.
  sent_at timestamptz,
  sent_day text,
  primary key (account_id, id)
);
create index email_blob_hash on email (blob_hash);

-- An email in a mailbox. Insert-only: what changes of it is in mailbox_page.
create table message (
  account_id bigint not null,
  mailbox_id bigint not null,
  uid bigint not null,
  email_id bigint not null,
  -- That of the email: what is moved or removed is counted without a look at each email.
  size bigint not null,
  internal_date timestamptz not null,
  save_date timestamptz not null default now(),
  primary key (account_id, mailbox_id, uid)
);
create index message_account_id_email_id on message (account_id, email_id);

-- 256 neighbouring UIDs: page = uid >> 8, slot = uid & 255.
create table mailbox_page (
  account_id bigint not null,
  mailbox_id bigint not null,
  page integer not null,
  -- 32 bytes: bit `slot` (as set_bit counts) says that the message is there.
  present bytea not null,
  -- 512 bytes: two a slot, big-endian.
  flags bytea not null,
  -- 1024 bytes: four a slot, big-endian, above base_modseq; 0: never used. Kept when the message goes.
  modseqs bytea not null,
  -- 256 entries of equal width, bits of mailbox.keywords; null: none set.
  keywords bytea,
  base_modseq bigint not null,
  max_modseq bigint not null,
  primary key (account_id, mailbox_id, page)
) with (fillfactor = 50);
alter table mailbox_page alter present set storage plain;
alter table mailbox_page alter flags set storage plain;
alter table mailbox_page alter modseqs set storage plain;
alter table mailbox_page alter keywords set storage plain;

-- What happened to an account, kept for a time: the change feed, JMAP, VANISHED (RFC 7162 section 3.2.10).
create table change_log (
  account_id bigint not null,
  modseq bigint not null,
  mailbox_id bigint not null,
  kind text not null check (kind in ('added', 'flags', 'removed', 'mailbox-made', 'mailbox-renamed', 'mailbox-gone')),
  -- As an IMAP uid-set; empty for changes of the mailbox itself.
  uids text not null default '',
  at timestamptz not null default now(),
  primary key (account_id, modseq, mailbox_id, kind)
);
create index change_log_at on change_log using brin (at);

-- Batches that were committed, kept for a time: after a lost connection the sender looks here for the outcome.
-- A null result: given up, it can't commit any more.
create table delivery_batch (
  id uuid primary key,
  at timestamptz not null default now(),
  result json
);
create index delivery_batch_at on delivery_batch (at);

-- Atomicity of an account's rows must not depend on who inserts it.
-- The mailboxes are those of server/mail/mailbox.ts, initialMailboxes.
create function account_mail_begin() returns trigger language plpgsql as $$
begin
  insert into account_state (account_id) values (new.id);
  insert into mailbox (account_id, name, special_use, highest_modseq)
    values (new.id, 'INBOX', null, 1), (new.id, 'Sent', 'Sent', 1), (new.id, 'Drafts', 'Drafts', 1),
           (new.id, 'Trash', 'Trash', 1), (new.id, 'Spam', 'Junk', 1), (new.id, 'Archive', 'Archive', 1);
  insert into subscription (account_id, name) select account_id, name from mailbox where account_id = new.id;
  return null;
end $$;
create trigger account_mail_begin after insert on account for each row execute function account_mail_begin();

create function account_mail_end() returns trigger language plpgsql as $$
begin
  -- Waits for a writer; who comes later finds no account.
  delete from account_state where account_id = old.id;
  delete from subscription where account_id = old.id;
  delete from mailbox_name where account_id = old.id;
  delete from mailbox_page where account_id = old.id;
  delete from message where account_id = old.id;
  delete from email where account_id = old.id;
  delete from mailbox where account_id = old.id;
  delete from change_log where account_id = old.id;
  return null;
end $$;
create trigger account_mail_end after delete on account for each row execute function account_mail_end();

-- The page's presence with the slots from first to last set.
create function page_present(present bytea, first int, last int) returns bytea language plpgsql immutable strict as $$
begin
  for slot in first..last loop
    present := set_bit(present, slot, 1);
  end loop;
  return present;
end $$;

-- Sets the keyword's bit in the entry `slot`, widening the entries where they are too narrow.
create function page_keyword(keywords bytea, slot int, keyword int) returns bytea language plpgsql immutable as $$
declare
  width int := coalesce(length(keywords), 0) / 256;
  wide int := greatest(width, keyword / 8 + 1);
begin
  if wide > width then
    select string_agg(coalesce(substring(keywords from s * width + 1 for width), '') || decode(repeat('00', wide - width), 'hex'), '' order by s)
      into keywords from generate_series(0, 255) s;
  end if;
  return set_bit(keywords, slot * wide * 8 + keyword, 1);
end $$;

-- The page's modseqs with a new base; those below it are raised to it (a client fetches them once more).
create function page_rebase(modseqs bytea, old_base bigint, new_base bigint) returns bytea language sql immutable strict as $$
  select string_agg(
      case when o.offset_was = 0 then '\x00000000'::bytea
           else substring(int8send(greatest(1, old_base + o.offset_was - new_base)) from 5) end, '' order by s)
    from generate_series(0, 255) s,
      lateral (select ('x' || encode(substring(modseqs from s * 4 + 1 for 4), 'hex'))::bit(32)::bigint as offset_was) o
$$;

-- Stores a batch of messages. All arrays of a group have one length; see server/store/pg-batch.ts, which calls it.
--   _batch     its id, for delivery_batch
--   blobs      _hash, _size (of the raw bytes), _raw (null: stored before, by upload)
--   messages   _blob (place in the blobs, from 1), and what is known of each
--   items      one a copy: _job (those of one number succeed or fail together), _message (place, from 1), _email (place of
--              the item whose email row it shares, from 1), _account, _mailbox (0: INBOX), _prefix, _flags,
--              _keywords (blank between them), _date (null: now), _checked (refuse when over quota)
-- What is for an account that somebody else is writing to is refused as busy, to be sent again: one long change must not
-- hold up the mail of all others, and who waits must hold no lock.
-- Returns a JSON array: for each item [mailbox, uid, modseq, uidvalidity] or the reason for its job's refusal
-- (no-such-account, no-such-mailbox, over-quota with the limit, uids-used-up, blob-gone, busy).
create function store_batch(
  _batch uuid,
  _hash bytea[], _size int8[], _raw bytea[],
  _blob int4[], _envelope text[], _bodystructure text[], _parts text[], _sent_at timestamptz[], _sent_day text[],
  _job int4[], _message int4[], _email int4[], _account int8[], _mailbox int8[], _prefix bytea[], _flags int4[],
  _keywords text[], _date timestamptz[], _checked bool[]
) returns json language plpgsql as $$
declare
  _held bytea[];
  _locked int8[];
  _box int8[];
  _fault text[];
  _email_id int8[];
  _result json;
begin
  -- Who looks for the outcome after a lost connection waits here for the end of this transaction.
  perform pg_advisory_xact_lock(hashtextextended(_batch::text, 0));

  -- Whoever else writes to these accounts waits from here on; what is read of them by the next statements stays.
  select array_agg(a.account_id) into _locked
    from (select account_id from account_state where account_id = any (_account) order by account_id for update skip locked) a;

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

  select array_agg(r.box order by r.ord), array_agg(r.fault order by r.ord) into _box, _fault
    from (
      select c.ord, c.box, max(case
          when s.account_id is null then 'no-such-account'
          when c.account <> all (coalesce(_locked, '{}')) then 'busy'
          when m.id is null then 'no-such-mailbox'
          when c.checked and s.used_bytes + c.job_bytes > a.quota_bytes then 'over-quota ' || a.quota_bytes
          when m.uidnext + array_length(_job, 1) > 4294967295 then 'uids-used-up'
          when _hash[_blob[c.message]] <> all (coalesce(_held, '{}')) then 'blob-gone'
        end) over (partition by c.job) as fault
      from (
        select t.ord, t.job, t.message, t.account, t.checked,
            coalesce(nullif(t.box, 0), (select id from mailbox where account_id = t.account and name = 'INBOX')) as box,
            sum(_size[_blob[t.message]] + length(t.prefix)) over (partition by t.job, t.account) as job_bytes
          from unnest(_job, _message, _account, _mailbox, _prefix, _checked) with ordinality
            as t (job, message, account, box, prefix, checked, ord)
      ) c
      left join account_state s on s.account_id = c.account
      left join account a on a.id = c.account
      left join mailbox m on m.account_id = c.account and m.id = c.box
    ) r;

  select array_agg(nextval('email_id_seq')) into _email_id from generate_series(1, array_length(_job, 1));

  with item as materialized (
    select t.ord, t.account, t.box, t.message, t.email, t.prefix, t.flags, t.date,
        _size[_blob[t.message]] + length(t.prefix) as size,
        row_number() over (partition by t.box order by t.ord) - 1 as place
      from unnest(_account, _box, _message, _email, _prefix, _flags, _date, _fault) with ordinality
        as t (account, box, message, email, prefix, flags, date, fault, ord)
      where t.fault is null
  ), per_box as materialized (
    select account, box, count(*) as messages, sum(size) as size, count(*) filter (where flags & 1 = 0) as unseen
      from item group by account, box
  ), account_done as (
    update account_state s
      set modseq = s.modseq + 1, used_bytes = s.used_bytes + p.size, messages = s.messages + p.messages
      from (select account, sum(messages) as messages, sum(size) as size from per_box group by account) p
      where s.account_id = p.account
      returning s.account_id, s.modseq
  ), box_done as (
    update mailbox m
      set uidnext = m.uidnext + p.messages, highest_modseq = a.modseq, messages = m.messages + p.messages,
          unseen = m.unseen + p.unseen, size = m.size + p.size
      from per_box p join account_done a on a.account_id = p.account
      where m.account_id = p.account and m.id = p.box
      returning m.account_id, m.id, m.uidnext - p.messages as first, m.uidnext - 1 as last, m.highest_modseq as modseq, m.uidvalidity
  ), placed as materialized (
    select i.*, b.first + i.place as uid, b.modseq, b.uidvalidity from item i join box_done b on b.id = i.box
  ), email_done as (
    insert into email (account_id, id, blob_hash, prefix, size, envelope, bodystructure, parts, sent_at, sent_day)
      overriding system value
      select p.account, _email_id[p.ord], _hash[_blob[p.message]], p.prefix, p.size, _envelope[p.message],
          _bodystructure[p.message], _parts[p.message], _sent_at[p.message], _sent_day[p.message]
        from placed p where p.email = p.ord
  ), message_done as (
    insert into message (account_id, mailbox_id, uid, email_id, size, internal_date)
      select account, box, uid, _email_id[email], size, coalesce(date, now()) from placed
  ), piece as materialized (
    select account, box, (uid >> 8)::int as page, modseq, (min(uid) & 255)::int as first, (max(uid) & 255)::int as last,
        string_agg(int2send(flags::int2), '' order by uid) as flags
      from placed group by account, box, uid >> 8, modseq
  ), page_done as (
    update mailbox_page g
      set present = page_present(g.present, p.first, p.last),
          flags = overlay(g.flags placing p.flags from p.first * 2 + 1),
          modseqs = overlay(n.modseqs placing
            decode(repeat(encode(substring(int8send(p.modseq - n.base) from 5), 'hex'), p.last - p.first + 1), 'hex')
            from p.first * 4 + 1),
          base_modseq = n.base,
          max_modseq = p.modseq
      from piece p, lateral (
        select case when is_far then p.modseq - 2147483648 else old.base_modseq end as base,
            case when is_far then page_rebase(old.modseqs, old.base_modseq, p.modseq - 2147483648) else old.modseqs end as modseqs
          from (select o.base_modseq, o.modseqs, p.modseq - o.base_modseq > 4294967295 as is_far from mailbox_page o
            where o.account_id = p.account and o.mailbox_id = p.box and o.page = p.page) old
      ) n
      where g.account_id = p.account and g.mailbox_id = p.box and g.page = p.page
      returning g.mailbox_id, g.page
  ), page_made as (
    insert into mailbox_page (account_id, mailbox_id, page, present, flags, modseqs, base_modseq, max_modseq)
      select p.account, p.box, p.page,
          page_present(decode(repeat('00', 32), 'hex'), p.first, p.last),
          overlay(decode(repeat('00', 512), 'hex') placing p.flags from p.first * 2 + 1),
          overlay(decode(repeat('00', 1024), 'hex') placing decode(repeat('00000001', p.last - p.first + 1), 'hex')
            from p.first * 4 + 1),
          p.modseq - 1, p.modseq
        from piece p
        where not exists (
          select from mailbox_page g where g.account_id = p.account and g.mailbox_id = p.box and g.page = p.page)
  ), log_done as (
    insert into change_log (account_id, modseq, mailbox_id, kind, uids)
      select account_id, modseq, id, 'added', case when first = last then first::text else first || ':' || last end from box_done
  )
  select json_agg(coalesce(to_json(f.fault), json_build_array(p.box, p.uid, p.modseq, p.uidvalidity)) order by f.ord)
    into _result
    from unnest(_fault) with ordinality f (fault, ord) left join placed p on p.ord = f.ord;

  if array_to_string(_keywords, '') <> '' then
    perform store_batch_keyword(_account[k.item], (_result -> k.item - 1 ->> 0)::bigint, (_result -> k.item - 1 ->> 1)::bigint, k.keyword)
      from (select t.ord::int as item, w.keyword, w.ord
        from unnest(_keywords) with ordinality t (keywords, ord),
          string_to_table(t.keywords, ' ') with ordinality w (keyword, ord)
        where t.keywords <> '' and _fault[t.ord] is null
        order by 1, w.ord) k;
  end if;

  -- Last: a batch that was given up meanwhile fails here.
  insert into delivery_batch (id, result) values (_batch, _result);
  return _result;
end $$;

-- Gives a message a keyword, making it known to the mailbox. SQLSTATE MR001: the mailbox has 128 (limits.ts, maxKeywords).
create function store_batch_keyword(_account bigint, _box bigint, _uid bigint, _keyword text) returns void language plpgsql as $$
declare
  _known text[];
  _bit int;
begin
  select keywords into _known from mailbox where account_id = _account and id = _box;
  select k.ord - 1 into _bit from unnest(_known) with ordinality k (keyword, ord)
    where lower(k.keyword collate "C") = lower(_keyword collate "C");
  if _bit is null then
    _bit := cardinality(_known);
    if _bit >= 128 then
      raise exception 'too many keywords' using errcode = 'MR001';
    end if;
    update mailbox set keywords = keywords || _keyword where account_id = _account and id = _box;
  end if;
  update mailbox_page set keywords = page_keyword(keywords, (_uid & 255)::int, _bit)
    where account_id = _account and mailbox_id = _box and page = (_uid >> 8)::int;
end $$;

-- SEARCH: an index of trigrams for each account, filled after mail was stored (docs/adr/0008-search-index.md).
-- Both tables may be emptied at any time: what is not in them is scanned, and filled in again.

create table search_state (
  account_id bigint primary key,
  -- The form of the index. A server fills an older one anew, and leaves a newer one alone.
  version integer not null,
  -- The emails with ids up to this one are in the account's segments. No email comes below it later: an account's emails
  -- get their ids under its lock (store_batch), so they are committed in the order of their ids.
  indexed_to bigint not null default 0,
  -- Until then some server is filling it.
  leased_until timestamptz not null default now()
) with (fillfactor = 50);

-- Some hundred to some thousand emails that follow one another. Insert-only; small ones are joined into larger ones.
create table search_segment (
  account_id bigint not null,
  id bigint generated always as identity,
  -- Every email of the segment has an id from here on, and below that of the next segment.
  first_email bigint not null,
  emails integer not null,
  -- Eight bytes an email: how far its id lies above first_email, and how many columns its header and its body take.
  places bytea not null,
  width integer not null,
  -- 4096 rows of `width` bytes: bit `column & 7` (counted from the lowest) of byte `column >> 3` says that the text of this
  -- column may have one of the row's trigrams.
  bits bytea not null,
  primary key (account_id, id)
);
-- Not compressed: a row is read without the rest.
alter table search_segment alter places set storage external;
alter table search_segment alter bits set storage external;

create function account_search_end() returns trigger language plpgsql as $$
begin
  -- In this order: waits for who is writing a segment, and then sees it.
  delete from search_state where account_id = old.id;
  delete from search_segment where account_id = old.id;
  return null;
end $$;
create trigger account_search_end after delete on account for each row execute function account_search_end();

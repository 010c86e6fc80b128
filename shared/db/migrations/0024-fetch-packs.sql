-- What never changes of a message and clients ask of many at once (ENVELOPE, BODYSTRUCTURE, some fields of the header), for
-- up to 256 neighbouring UIDs in one value: what mailbox_page is to flags. A copy of what email and blob hold, made by
-- whoever read it there first: a row may go at any time. Servers that know nothing of it go on.
create table fetch_pack (
  account_id bigint not null,
  mailbox_id bigint not null,
  page integer not null,
  -- See server/store/fetch-pack.ts.
  kind text collate "C" not null,
  -- As in mailbox_page: of which messages it has a text.
  present bytea not null,
  data bytea not null,
  at timestamptz not null default now(),
  primary key (account_id, mailbox_id, page, kind)
);
alter table fetch_pack alter present set storage plain;
alter table fetch_pack alter data set storage external;
create index fetch_pack_at on fetch_pack using brin (at);

-- Also what a server leaves behind that knows nothing of it.
create function mailbox_fetch_packs_end() returns trigger language plpgsql as $$
begin
  delete from fetch_pack where account_id = old.account_id and mailbox_id = old.id;
  return null;
end $$;
create trigger mailbox_fetch_packs_end after delete on mailbox for each row execute function mailbox_fetch_packs_end();

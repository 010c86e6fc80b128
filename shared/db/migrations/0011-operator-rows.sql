-- What a cluster's operator needs: who leads, word of rows that somebody else changed, logins of workloads, and what
-- a domain's MailPolicy asks of mail that comes in.

-- Each new leader raises the epoch; every transaction that writes for a leader holds the row (`for share`) and looks
-- whether the epoch is still its own. So one that was paused and goes on later writes nothing any more.
create table operator_leader (
  name text primary key,
  epoch bigint not null,
  -- The pod, for people.
  holder text not null,
  since timestamptz not null default now()
);

-- Bytes of a message that comes in for this domain; null: the server's own limit.
alter table domain
  add column max_message_bytes bigint check (max_message_bytes > 0),
  -- Mail for this domain is taken over TLS alone.
  add column requires_inbound_tls boolean not null default false;

-- A login that hands in mail and does nothing else, one row a MailCredential.
create table mail_credential (
  id bigint generated always as identity primary key,
  resource_uid uuid not null unique,
  -- namespace/name
  resource_name text not null unique,
  -- Has no "@", so it is nobody's address.
  username text collate "C" not null unique check (username !~ '@'),
  -- Canonical; the local part "*" stands for every address of the domain. Empty: it may send nothing.
  allowed_senders text[] not null,
  messages_per_hour integer check (messages_per_hour >= 0),
  messages_per_day integer check (messages_per_day >= 0),
  new_recipients_per_day integer check (new_recipients_per_day >= 0),
  overlap_seconds bigint not null check (overlap_seconds >= 0),
  spec_hash text not null,
  created_at timestamptz not null default now()
);

-- The present password, and those before it until their time is over.
create table mail_credential_password (
  credential_id bigint not null references mail_credential (id) on delete cascade,
  id uuid not null,
  -- argon2id, as a PHC string.
  password_hash text not null,
  -- As in `credential`. All passwords of one login have one salt, so that a client that asks for it may have any.
  scram_sha256 bytea not null,
  scram_sha1 bytea not null,
  -- As credential.secret_tag.
  seal_key_id text not null,
  secret_tag bytea not null,
  -- null: the present one.
  expires_at timestamptz,
  last_used_at timestamptz,
  created_at timestamptz not null default now(),
  primary key (credential_id, id)
) with (fillfactor = 80);
create unique index mail_credential_password_present on mail_credential_password (credential_id)
  where expires_at is null;

-- Whoever makes these tables follow resources hears of rows that others changed: channel postrider_directory, the
-- payload is the table. Its own transactions say so and are not told of. One notification a statement, and Postgres
-- folds those of one transaction that are the same.
create function directory_changed() returns trigger language plpgsql as $$
begin
  if current_setting('postrider.writer', true) is distinct from 'reconciler' then
    perform pg_notify('postrider_directory', tg_table_name);
  end if;
  return null;
end $$;

-- Columns that servers write in their daily work (when a credential was used last, a stronger hash of the same
-- password) are left out.
create trigger directory_changed after insert or delete or truncate or update of
    resource_uid, resource_name, name, subaddress_delimiter, catch_all_local, catch_all_domain, suspended,
    deletion_policy, retained_at, managed_by, spec_hash, messages_per_hour, messages_per_day, new_recipients_per_day,
    dkim_algorithms, dkim_rotation_seconds, dkim_overlap_seconds, max_message_bytes, requires_inbound_tls
  on domain for each statement execute function directory_changed();
create trigger directory_changed after insert or update or delete or truncate
  on domain_name for each statement execute function directory_changed();
create trigger directory_changed after insert or delete or truncate or update of
    resource_uid, resource_name, domain_id, local_part, display_name, quota_bytes, suspended, deletion_policy,
    deletion_grace_seconds, retained_at, purge_after, managed_by, spec_hash, messages_per_hour, messages_per_day,
    new_recipients_per_day, recipients_per_message, saves_sent
  on account for each statement execute function directory_changed();
create trigger directory_changed after insert or update or delete or truncate
  on alias for each statement execute function directory_changed();
create trigger directory_changed after insert or update or delete or truncate
  on alias_member for each statement execute function directory_changed();
create trigger directory_changed after insert or update or delete or truncate
  on address for each statement execute function directory_changed();
create trigger directory_changed after insert or delete or truncate or update of
    account_id, id, kind, scram_sha256, scram_sha1, seal_key_id, version, managed_by, secret_tag
  on credential for each statement execute function directory_changed();
create trigger directory_changed after insert or update or delete or truncate
  on mail_route for each statement execute function directory_changed();
create trigger directory_changed after insert or update or delete or truncate
  on mail_credential for each statement execute function directory_changed();
create trigger directory_changed after insert or delete or truncate or update of
    credential_id, id, scram_sha256, scram_sha1, seal_key_id, secret_tag, expires_at
  on mail_credential_password for each statement execute function directory_changed();

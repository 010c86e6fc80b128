--! oldest-server 1
-- The directory: which addresses are ours, whose they are, and who may log in.
-- Everything here follows the resources (MailDomain, Mailbox, MailAlias), except what `managed_by` says otherwise:
--   reconciler  the row follows the resource with the UID `resource_uid`
--   login       made by a first login in development mode
--   user        made by the account's owner (app passwords)
--   nobody      its resource was deleted with deletionPolicy Orphan; only a person changes it
-- Names are canonical: domains as lower-case A-labels (RFC 5890), local parts unquoted, NFC and in lower case.

create table domain (
  id bigint generated always as identity primary key,
  resource_uid uuid unique,
  -- namespace/name, for people.
  resource_name text,
  name text not null unique check (name = lower(name)),
  -- null: no sub-addresses.
  subaddress_delimiter text check (length(subaddress_delimiter) = 1),
  catch_all_local text,
  catch_all_domain text,
  suspended boolean not null default false,
  -- What becomes of the row when the resource goes; the resource can't be asked then.
  deletion_policy text not null default 'Retain' check (deletion_policy in ('Retain', 'Orphan', 'Delete')),
  -- Since when the resource is gone: the domain is not ours any more, its accounts and their mail are kept.
  retained_at timestamptz,
  managed_by text not null check (managed_by in ('reconciler', 'nobody')),
  spec_hash text,
  created_at timestamptz not null default now(),
  check ((catch_all_local is null) = (catch_all_domain is null)),
  check ((managed_by = 'reconciler') = (resource_uid is not null))
);

-- Every name a domain goes by: its own and its alias domains. The key settles who has a name.
create table domain_name (
  name text primary key check (name = lower(name)),
  domain_id bigint not null references domain (id) on delete cascade
);
create index domain_name_domain_id on domain_name (domain_id);

create table account (
  id bigint generated always as identity primary key,
  resource_uid uuid unique,
  resource_name text,
  domain_id bigint not null references domain (id),
  local_part text not null check (local_part <> ''),
  display_name text,
  -- null: no limit.
  quota_bytes bigint check (quota_bytes >= 0),
  suspended boolean not null default false,
  deletion_policy text not null default 'Retain' check (deletion_policy in ('Retain', 'Orphan', 'Delete')),
  deletion_grace_seconds bigint not null default 604800 check (deletion_grace_seconds >= 0),
  -- Since when the resource is gone: no login, no delivery, mail kept.
  retained_at timestamptz,
  -- With deletionPolicy Delete: when the account and its mail are removed.
  purge_after timestamptz,
  managed_by text not null check (managed_by in ('reconciler', 'login', 'nobody')),
  spec_hash text,
  created_at timestamptz not null default now(),
  unique (domain_id, local_part),
  check (purge_after is null or retained_at is not null),
  check ((managed_by = 'reconciler') = (resource_uid is not null))
);

create table alias (
  id bigint generated always as identity primary key,
  resource_uid uuid unique,
  resource_name text,
  domain_id bigint not null references domain (id),
  local_part text not null check (local_part <> ''),
  deletion_policy text not null default 'Retain' check (deletion_policy in ('Retain', 'Orphan', 'Delete')),
  -- Since when the resource is gone: no delivery, the members are kept.
  retained_at timestamptz,
  managed_by text not null check (managed_by in ('reconciler', 'nobody')),
  spec_hash text,
  created_at timestamptz not null default now(),
  unique (domain_id, local_part),
  check ((managed_by = 'reconciler') = (resource_uid is not null))
);

create table alias_member (
  alias_id bigint not null references alias (id) on delete cascade,
  local_part text not null,
  domain_name text not null,
  primary key (alias_id, domain_name, local_part)
);

-- Every address of every domain, once: an account's own, its further ones, and those of aliases.
create table address (
  domain_id bigint not null references domain (id),
  local_part text not null check (local_part <> ''),
  account_id bigint references account (id) on delete cascade,
  alias_id bigint references alias (id) on delete cascade,
  primary key (domain_id, local_part),
  check ((account_id is null) <> (alias_id is null))
);
create index address_account_id on address (account_id) where account_id is not null;
create index address_alias_id on address (alias_id) where alias_id is not null;

create table credential (
  account_id bigint not null references account (id) on delete cascade,
  id uuid not null,
  kind text not null check (kind in ('primary', 'app')),
  -- What its owner calls it ("phone"); empty for the primary one.
  name text not null default '',
  -- argon2id, as a PHC string.
  password_hash text not null,
  -- RFC 5803 SCRAM verifiers, sealed with the key `seal_key_id` of the keyring.
  scram_sha256 bytea not null,
  scram_sha1 bytea not null,
  seal_key_id text not null,
  -- Raised by each change of the password: what was derived from an older one is void.
  version bigint not null default 1,
  managed_by text not null check (managed_by in ('reconciler', 'user')),
  -- Exact to some minutes.
  last_used_at timestamptz,
  created_at timestamptz not null default now(),
  primary key (account_id, id)
) with (fillfactor = 80);
create unique index credential_primary on credential (account_id) where kind = 'primary';
create unique index credential_name on credential (account_id, name) where kind = 'app';

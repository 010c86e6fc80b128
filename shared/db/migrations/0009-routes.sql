-- Which way mail goes out, and what outbound TLS has to remember.

-- One row a MailRoute. It has nothing of its own, so it goes when its resource goes.
create table mail_route (
  id bigint generated always as identity primary key,
  resource_uid uuid not null unique,
  -- namespace/name: what the queue calls the route.
  resource_name text collate "C" not null unique,
  -- Lower first.
  priority integer not null,
  -- Empty: all.
  sender_domains text[] not null,
  recipient_domains text[] not null,
  -- Targets and limits, as shared/provisioning/mail-route-wanted.ts has them, without secrets.
  spec jsonb not null,
  -- Passwords, keys and certificates of the targets, sealed; null: none.
  secrets bytea,
  seal_key_id text not null,
  -- A keyed hash of the secrets, to know them again.
  secret_tag bytea not null,
  spec_hash text not null,
  created_at timestamptz not null default now()
);

-- RFC 8461: policies that domains published, until their max_age is over.
create table sts_policy (
  domain text collate "C" primary key,
  -- Of the TXT record.
  policy_id text not null,
  mode text not null check (mode in ('enforce', 'testing', 'none')),
  mx text[] not null,
  max_age_seconds integer not null,
  expires_at timestamptz not null,
  -- When it was fetched.
  checked_at timestamptz not null
);
create index sts_policy_expires_at on sts_policy (expires_at);

-- RFC 8460: sessions of a day (UTC), by policy and result.
create table tls_session_count (
  day date not null,
  -- SHA-256 of what is counted together.
  key bytea not null,
  policy_domain text collate "C" not null,
  policy_type text not null check (policy_type in ('tlsa', 'sts', 'no-policy-found')),
  policy_strings text[] not null,
  policy_mx text[] not null,
  -- 'success' or a result-type of section 4.3; of successes the hosts are not told apart.
  result text not null,
  receiving_mx text not null,
  receiving_address text not null,
  sending_address text not null,
  sessions bigint not null,
  primary key (day, key)
);
create index tls_session_count_policy_domain on tls_session_count (policy_domain, day);

-- Destinations that turned away one of our addresses, which rests there until then.
create table source_rest (
  destination text collate "C" not null,
  address text collate "C" not null,
  -- In a row; the rest doubles.
  blocks integer not null,
  reason text not null,
  until timestamptz not null,
  primary key (destination, address)
);
create index source_rest_until on source_rest (until);

-- What is known of domains beside their resources: certificates that servers show, whose a domain is proved to be, and
-- where the DNS has a DKIM key.

-- Servers choose by the name that a client asks for (SNI). The operator writes; servers take up what changes.
create table certificate (
  id bigint generated always as identity primary key,
  -- Kind and UID of the resource that it is for.
  owner text collate "C" not null unique,
  -- namespace/name, for people.
  resource_name text not null,
  source text not null check (source in ('cert-manager', 'secret', 'self-signed')),
  -- Canonical; one may begin with "*.". In the order in which the certificate has them.
  names text[] not null check (cardinality(names) > 0),
  -- For clients that ask for no name, or for one that no certificate has.
  is_default boolean not null,
  not_after timestamptz not null,
  -- Chain and key as shared/directory/certificates.ts has them, sealed with the key `seal_key_id` of the keyring.
  material bytea not null,
  seal_key_id text not null,
  -- Grows with every change of the material.
  version integer not null default 1,
  updated_at timestamptz not null default now()
);
create function notify_certificate() returns trigger language plpgsql as $$
begin
  perform pg_notify('postrider_certificate', '');
  return null;
end $$;
create trigger certificate_changed after insert or update or delete on certificate
  for each statement execute function notify_certificate();

-- A namespace showed that it has a domain: by a TXT record in the domain's zone. Holds when the DNS is away, and until
-- another namespace shows the same.
create table domain_claim (
  namespace text collate "C" not null,
  -- Canonical.
  domain text collate "C" not null,
  proved_at timestamptz not null default now(),
  primary key (domain, namespace)
);
create function notify_claim() returns trigger language plpgsql as $$
begin
  perform pg_notify('postrider_claim', '');
  return null;
end $$;
create trigger domain_claim_changed after insert or delete on domain_claim
  for each statement execute function notify_claim();

-- Since when the zone's own servers and resolvers have the key's record; null: not seen, or nobody looks.
alter table dkim_key add column seen_at timestamptz;

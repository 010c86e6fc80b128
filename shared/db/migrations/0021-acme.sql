-- Certificates that an ACME authority signs (RFC 8555): what servers answer to it on port 80, and how far each order is, so
-- that a restart goes on with it and does not ask too often.

alter table certificate drop constraint certificate_source_check;
alter table certificate add constraint certificate_source_check
  check (source in ('cert-manager', 'secret', 'self-signed', 'acme'));

-- RFC 8555 section 8.3: the answer to a token is the same from every server. The operator writes before it tells the
-- authority to ask, so servers never have to remember that there is none.
create table acme_challenge (
  token text collate "C" primary key,
  key_authorization text not null,
  -- As of certificate.owner.
  owner text collate "C" not null,
  -- Not answered any more from then on.
  expires_at timestamptz not null
);
create index acme_challenge_owner on acme_challenge (owner);

-- One row a certificate that is had by ACME.
create table acme_order (
  -- As of certificate.owner.
  owner text collate "C" primary key,
  -- What is wanted, in short: the authority, the account's binding and the names. Another wish begins anew.
  wish text not null,
  -- The order under way; null: none. The key of its certificate is sealed with the key `seal_key_id` of the keyring.
  order_url text,
  private_key bytea,
  seal_key_id text,
  -- Attempts that failed in a row; nothing is asked before `next_attempt_at`.
  failed_attempts integer not null default 0,
  next_attempt_at timestamptz,
  -- Why the last one failed: reason and message as in the resource's condition.
  problem jsonb,
  -- The wish that the certificate in use came from; null: there is none yet.
  issued_wish text,
  -- When the authority would like it to be renewed (RFC 9773), and when to ask for that again; null: it did not say.
  renewal_at timestamptz,
  renewal_look_at timestamptz,
  updated_at timestamptz not null default now(),
  check ((order_url is null) = (private_key is null) and (private_key is null) = (seal_key_id is null))
);

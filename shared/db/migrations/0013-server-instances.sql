-- The servers of an installation, as each tells of itself every few seconds: what an administrator or an operator asks
-- about all of them together. A row goes with its server; one that has not been seen for long is swept by the others.
create table server_instance (
  -- The pod's or machine's name, and what tells two servers on one machine apart.
  name text collate "C" primary key,
  roles text[] not null,
  version text not null,
  -- The newest migration that it knows.
  schema integer not null,
  started_at timestamptz not null,
  seen_at timestamptz not null default now(),
  -- See server/instance/instance-facts.ts; readers take what they know and ignore the rest.
  facts jsonb not null
);

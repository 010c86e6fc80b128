-- Whether the targets of routes can be reached, as a server that sends has tried. One row a route; who takes it looks.
create table mail_route_probe (
  resource_uid uuid primary key references mail_route (resource_uid) on delete cascade on update cascade,
  -- Of the route that was looked at.
  spec_hash text not null,
  secret_tag bytea not null,
  taken_at timestamptz not null,
  -- Null: nobody has finished with this route as it is.
  probed_at timestamptz,
  -- One for each target, in the route's order: target, state, reason, message, latencyMs.
  targets jsonb not null default '[]'
);

-- Since when the zone does not have the namespace's token any more while it has another namespace's: a claim is given up
-- some time later, unless the token comes back. null: the token was there at the last look, or nobody else has one.
alter table domain_claim add column missing_since timestamptz;

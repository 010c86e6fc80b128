-- What the reconciler knows a Secret by, so that it sees without a hash each that nothing changed: a keyed hash
-- (key `seal_key_id`) of the password and of the credential's id and version, which any later change of the password
-- makes void. null: not made by the reconciler, or before there was this column.
alter table credential add column secret_tag bytea;

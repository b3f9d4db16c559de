-- What the two doors keep for themselves: the gateway its idempotency keys, the vault its secrets.
-- Neither is part of the log; the log never holds a secret.

create schema gateway authorization qm_owner;
grant usage on schema gateway to qm_gateway;

-- A command that was asked with a key: what was proposed for it is stored before it is proposed,
-- so that asking again proposes the same event ids, and the answer is the same.
create table gateway.idempotency (
  actor       text collate "C" not null,
  key         text collate "C" not null,
  fingerprint bytea not null,
  event_ids   uuid[] not null default '{}',
  proposal    json,
  status      smallint,
  answer      json,
  position    bigint,
  claim       uuid,
  claimed_at  timestamptz,
  created_at  timestamptz not null default clock_timestamp(),
  primary key (actor, key)
);
create index on gateway.idempotency using brin (created_at);
grant select, insert, update, delete on gateway.idempotency to qm_gateway;

create schema vault authorization qm_owner;
grant usage on schema vault to qm_vault;

-- A version that was erased leaves its row, so that its number never means another value.
create table vault.secrets (
  secret_id   text collate "C" not null,
  version     integer not null check (version >= 1),
  ciphertext  bytea,
  nonce       bytea,
  purpose     text not null default '',
  readers     text[] not null,
  request_id  text collate "C",
  created_at  timestamptz not null default clock_timestamp(),
  erased_at   timestamptz,
  primary key (secret_id, version),
  unique (secret_id, request_id)
);
grant select, insert, update on vault.secrets to qm_vault;

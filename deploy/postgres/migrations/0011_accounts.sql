-- What proves who somebody is. Who there is and what they may do is in the log; here is only what
-- must not be there: digests, sessions, and how often somebody tried. Erasing a row here shuts a
-- door and changes no history.

-- A password's argon2id digest, or the SHA-256 of an API key's 256 random bits. The log names the
-- version that counts, so that a digest without its fact proves nothing.
create table gateway.credentials (
  secret_id   text collate "C" not null,
  version     integer not null check (version >= 1),
  digest      text collate "C" not null,
  request_id  text collate "C" not null,
  created_at  timestamptz not null default clock_timestamp(),
  primary key (secret_id, version),
  unique (secret_id, request_id)
);
create unique index on gateway.credentials (digest) where secret_id >= 'key.' and secret_id < 'key/';

-- A login. It stands on the password that was right then; without its row no token of it is good.
create table gateway.sessions (
  session_id       uuid primary key,
  account_id       text collate "C" not null,
  password_version integer not null,
  created_at       timestamptz not null,
  expires_at       timestamptz not null
);
create index on gateway.sessions (expires_at);

-- Refresh tokens, each good for one refresh; one that is used again ends its session.
create table gateway.refresh_tokens (
  digest      bytea primary key,
  session_id  uuid not null references gateway.sessions on delete cascade,
  expires_at  timestamptz not null,
  used_at     timestamptz
);
create index on gateway.refresh_tokens (session_id);

-- When a bucket of attempts is full again. The name is a keyed digest: it may be a mistyped
-- password, and an address is personal data.
create table gateway.attempts (
  bucket   bytea primary key,
  full_at  timestamptz not null
);
create index on gateway.attempts (full_at);

-- The position of the newest fact about accounts or keys: a gateway that has not folded it yet
-- does not judge who may come in.
create table gateway.authority (
  only_one     boolean primary key default true check (only_one),
  position     bigint not null default 0,
  advanced_at  timestamptz not null default clock_timestamp()
);
insert into gateway.authority default values;

grant select, insert, update, delete
   on gateway.credentials, gateway.sessions, gateway.refresh_tokens, gateway.attempts to qm_gateway;
grant select, update on gateway.authority to qm_gateway;

-- name: take_turns
-- Two versions of one secret are numbered one after the other.
select pg_advisory_xact_lock(hashtextextended('vault.secrets/' || $1, 0));

-- name: version_of_request
-- The version that this very request made before.
select version from vault.secrets where secret_id = $1 and request_id = $2;

-- name: next_version
-- The number of the next version; erased ones count.
select coalesce(max(version), 0) + 1 from vault.secrets where secret_id = $1;

-- name: add
-- Keep a version.
insert into vault.secrets (secret_id, version, ciphertext, nonce, purpose, readers, request_id)
values ($1, $2, $3, $4, $5, $6, $7);

-- name: get
-- A version that was not erased.
select ciphertext, nonce, readers from vault.secrets
 where secret_id = $1 and version = $2 and ciphertext is not null;

-- name: erase
-- Forget the value of one version, or of all, and keep that they were.
update vault.secrets set ciphertext = null, nonce = null, erased_at = clock_timestamp()
 where secret_id = $1 and ($2::int is null or version = $2) and ciphertext is not null;

-- name: take_turns
-- Two versions of one credential are numbered one after the other.
select pg_advisory_xact_lock(hashtextextended('gateway.credentials/' || $1, 0));

-- name: keep
-- Keep a digest as the next version, after $4 at least; the same request is the same version.
insert into gateway.credentials (secret_id, version, digest, request_id)
select $1, greatest(max(version), $4::int) + 1, $2, $3 from gateway.credentials where secret_id = $1
on conflict (secret_id, request_id) do update set request_id = excluded.request_id
returning version;

-- name: digest
-- The digest of one version.
select digest from gateway.credentials where secret_id = $1 and version = $2;

-- name: renew
-- The same password, digested with other parameters.
update gateway.credentials set digest = $3 where secret_id = $1 and version = $2;

-- name: forget
-- Forget one version, or all.
delete from gateway.credentials where secret_id = $1 and ($2::int is null or version = $2);

-- name: forget_older
-- Forget what was before a version.
delete from gateway.credentials where secret_id = $1 and version < $2;

-- name: key_of
-- Whose API key a digest is, and the position to have folded before judging.
select (select secret_id from gateway.credentials
         where digest = $1 and secret_id >= 'key.' and secret_id < 'key/') as secret_id,
       (select position from gateway.authority) as authority;

-- name: session_of
-- A session that has not ended, and the position to have folded before judging.
select account_id, password_version, authority.position as authority
  from gateway.authority
  left join gateway.sessions on session_id = $1 and expires_at > $2;

-- name: authority
-- The position to have folded before judging.
select position from gateway.authority;

-- name: advance
-- A newer fact about accounts or keys is recorded.
update gateway.authority set position = $1, advanced_at = clock_timestamp() where position < $1;

-- name: rewind
-- The log was restored to an earlier point: what is beyond its end never happened.
update gateway.authority set position = $1
 where position > $1 and advanced_at < clock_timestamp() - interval '1 minute';

-- name: open
-- Open a session.
insert into gateway.sessions (session_id, account_id, password_version, created_at, expires_at)
values ($1, $2, $3, $4, $5);

-- name: end
-- End a session, and with it all of its tokens.
delete from gateway.sessions where session_id = $1;

-- name: give
-- Give a session a refresh token.
insert into gateway.refresh_tokens (digest, session_id, expires_at) values ($1, $2, $3);

-- name: use
-- Use a refresh token, once.
update gateway.refresh_tokens set used_at = $2
 where digest = $1 and used_at is null and expires_at > $2
returning session_id;

-- name: prolong
-- A session that is refreshed goes on for longer.
update gateway.sessions set expires_at = $2 where session_id = $1
returning account_id, password_version;

-- name: end_reused
-- End the session of a refresh token that was used before: two have it, and one of them stole it.
-- Used a moment ago, it is one client that asked twice at once.
delete from gateway.sessions
 where session_id = (select session_id from gateway.refresh_tokens
                      where digest = $1 and used_at < $2)
returning account_id;

-- name: fill
-- Buckets that nobody has tried yet.
insert into gateway.attempts (bucket, full_at)
select bucket, $2 from unnest($1::bytea[]) as bucket order by bucket on conflict do nothing;

-- name: buckets
-- When buckets are full again; held until the charge is written.
select bucket, full_at from gateway.attempts where bucket = any($1::bytea[]) order by bucket
   for update;

-- name: charge
-- What an attempt took from its buckets.
update gateway.attempts set full_at = taken.full_at
  from unnest($1::bytea[], $2::timestamptz[]) as taken (bucket, full_at)
 where attempts.bucket = taken.bucket;

-- name: give_back
-- An attempt that was right is no attempt.
update gateway.attempts set full_at = attempts.full_at - taken.every
  from unnest($1::bytea[], $2::interval[]) as taken (bucket, every)
 where attempts.bucket = taken.bucket;

-- name: sweep_sessions
-- Forget sessions that ended by themselves.
delete from gateway.sessions where expires_at < $1;

-- name: sweep_attempts
-- Forget buckets that are full.
delete from gateway.attempts where full_at < $1;

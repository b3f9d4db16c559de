-- name: claim
-- Claim a key: a new one, or one that was let go or whose holder is gone.
insert into gateway.idempotency as known (actor, key, fingerprint, claim, claimed_at)
values ($1, $2, $3, $4, clock_timestamp())
on conflict (actor, key) do update set claim = excluded.claim, claimed_at = clock_timestamp()
 where known.fingerprint = excluded.fingerprint and known.status is null
   and (known.claimed_at is null or known.claimed_at < clock_timestamp() - make_interval(secs => $5))
returning event_ids::text[] as event_ids, proposal;

-- name: known
-- What a key stands for.
select fingerprint, status, answer, position from gateway.idempotency where actor = $1 and key = $2;

-- name: keep
-- Keep what is about to be proposed.
update gateway.idempotency set event_ids = $4::text[]::uuid[], proposal = $5
 where actor = $1 and key = $2 and claim = $3;

-- name: finish
-- Keep the answer.
update gateway.idempotency set status = $4, answer = $5, position = $6
 where actor = $1 and key = $2 and claim = $3;

-- name: let_go
-- Let the next request go on from what is stored.
update gateway.idempotency set claimed_at = null where actor = $1 and key = $2 and claim = $3;

-- name: forget
-- Forget a key that nothing came of.
delete from gateway.idempotency where actor = $1 and key = $2 and claim = $3;

-- name: sweep
-- Forget keys of long ago.
delete from gateway.idempotency where created_at < clock_timestamp() - make_interval(hours => $1);

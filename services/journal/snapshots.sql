-- name: forget_chunk
-- Make room for a chunk that is put again.
delete from log.snapshot_chunks where service = $1 and upload = $2::uuid and number = $3;

-- name: put_chunk
-- One chunk of an upload; of two who put the same one at once, the first counts.
insert into log.snapshot_chunks (service, upload, number, body) values ($1, $2::uuid, $3, $4)
    on conflict do nothing;

-- name: chunk
-- A chunk's bytes.
select body from log.snapshot_chunks where service = $1 and upload = $2::uuid and number = $3;

-- name: chunk_digests
-- The sha256 of every chunk of an upload, in order.
select encode(sha256(body), 'hex') as digest
  from log.snapshot_chunks
 where service = $1 and upload = $2::uuid
 order by number;

-- name: keep
-- A manifest, where there is none at that position yet.
insert into log.snapshots (service, fingerprint, position, event_id, upload, plain_bytes, digests,
                           telemetry_since, recorded_at)
values ($1, $2, $3, $4::uuid, $5::uuid, $6, $7, $8, $9)
    on conflict (service, fingerprint, position) do nothing;

-- name: is_kept
-- Whether a manifest names an upload.
select exists (select from log.snapshots where service = $1 and upload = $2::uuid);

-- name: forget_upload
-- The chunks of an upload that nobody needs.
delete from log.snapshot_chunks where service = $1 and upload = $2::uuid;

-- name: snapshots
-- What is kept of a service and a fold up to a position, newest first.
select position, event_id::text as event_id, upload::text as upload, plain_bytes, digests,
       telemetry_since, recorded_at
  from log.snapshots
 where service = $1 and fingerprint = $2 and position <= $3
 order by position desc
 limit $4;

-- name: snapshot_uploads
-- Where anything is kept of a service and a fold, and as which upload.
select position, upload::text as upload
  from log.snapshots
 where service = $1 and fingerprint = $2
 order by position;

-- name: of_other_folds
-- How many snapshots there are of other folds of a service.
select count(*) from log.snapshots where service = $1 and fingerprint <> $2;

-- name: drop
-- Delete snapshots; their chunks are swept.
delete from log.snapshots where service = $1 and fingerprint = $2 and upload = any($3::uuid[]);

-- name: drop_old_folds
-- What older folds of a service left, once nobody goes back to them.
delete from log.snapshots
 where service = $1 and fingerprint <> $2 and taken_at < clock_timestamp() - make_interval(days => $3);

-- name: sweep_chunks
-- Chunks without a manifest, but for those it may still come for.
delete from log.snapshot_chunks c
 where c.put_at < clock_timestamp() - interval '1 hour'
   and not exists (select from log.snapshots s where s.upload = c.upload);

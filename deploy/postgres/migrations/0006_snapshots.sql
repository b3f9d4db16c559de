-- Snapshots of services' folded states: a cache, kept by the journal for whoever folds.
-- Deleting any of it, or all, changes nothing but how long a start takes.

create table log.snapshots (
  service          text collate "C" not null,
  fingerprint      text collate "C" not null,
  position         bigint not null,
  event_id         uuid not null,
  upload           uuid not null unique,
  plain_bytes      bigint not null,
  digests          text[] not null,
  telemetry_since  timestamptz,
  recorded_at      timestamptz not null,
  taken_at         timestamptz not null default clock_timestamp(),
  primary key (service, fingerprint, position)
);

-- Chunks come before the manifest that names them; those it never came for are swept.
create table log.snapshot_chunks (
  upload   uuid not null,
  number   int not null,
  service  text collate "C" not null,
  body     bytea not null,
  put_at   timestamptz not null default clock_timestamp(),
  primary key (upload, number)
);
alter table log.snapshot_chunks alter column body set storage external;  -- compressed already

grant select, insert, delete on log.snapshots, log.snapshot_chunks to qm_journal;
grant select on log.snapshots to qm_query;

-- name: moment
-- The head and the chain of facts, of one snapshot.
select h.position, e.event_id::text as event_id,
       coalesce((select encode(f.hash, 'hex') from log.facts f order by f.position desc limit 1),
                '') as facts_hash,
       clock_timestamp() as made_at,
       array(select partition from log.partitions order by partition) as partitions
  from (select log.head() as position) h
  left join lateral (
    select event_id from log.all_events a where a.position = h.position) e on true;

-- name: migrations
-- What is applied to this database.
select name from qm.migrations order by name;

-- name: copy
-- The rows of a table between two positions.
select {columns} from log.{table} where position > {after} and position <= {through}
 order by position

-- name: copy_all
-- The rows of a small table.
select {columns} from {schema}.{table} order by 1, 2

-- name: is_empty
-- Whether a log holds nothing, and never held anything.
select log.head() = 0 and not exists (select from log.telemetry_heads) as is_empty;

-- name: make_partition
-- Make the telemetry partition of a day.
select log.make_partition(to_date($1, 'YYYYMMDD'));

-- name: published
-- What is restored was published once: followers read it from history.
update log.cursors set position = $1, event_id = $2::uuid, updated_at = clock_timestamp()
 where name = 'publisher';

-- name: drop_snapshots
-- Snapshots of positions that are not there any more; their chunks are swept.
delete from log.snapshots where position > $1;

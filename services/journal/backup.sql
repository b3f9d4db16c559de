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

-- name: held
-- Events and seals of a log; 0 in an empty one.
select (select count(*) from (select from log.facts limit 1) f)
     + (select count(*) from (select from log.telemetry limit 1) t)
     + (select count(*) from log.seals) + (select count(*) from log.telemetry_heads)
     + log.head() as held;

-- name: make_partition
-- Make the telemetry partition of a day.
select log.make_partition(to_date($1, 'YYYYMMDD'));

-- name: published
-- What is restored was published once: followers read it from history.
update log.cursors set position = $1, event_id = $2::uuid, updated_at = clock_timestamp()
 where name = 'publisher';

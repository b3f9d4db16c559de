-- name: counts
-- Events and bytes between two positions, by type, family of streams and day.
select type, split_part(stream, '/', 1) as family,
       (recorded_at at time zone 'UTC')::date as day, is_telemetry, count(*) as events,
       sum(octet_length(data::text) + octet_length(meta::text))::bigint as bytes
  from (
    select type, stream, recorded_at, data, meta, false as is_telemetry
      from log.facts where position > $1 and position <= $2
    union all
    select type, stream, recorded_at, data, meta, true
      from log.telemetry where position > $1 and position <= $2) e
 group by 1, 2, 3, 4;

-- name: sizes
-- The publisher's cursor, and the bytes that the log takes on disk with its indexes.
select (select position from log.cursors where name = 'publisher') as cursor,
       pg_total_relation_size('log.facts') +
         coalesce((select sum(bytes) from log.partitions), 0)::bigint as bytes_on_disk;

-- name: selected
-- Events between two positions, of some types, streams or families, and times.
select position, event_id::text as event_id, stream, version, type, schema_version, data, meta,
       recorded_at
  from log.all_events
 where position > $1 and position <= $2
   and ($4::text[] is null or type = any($4))
   and ($5::text[] is null or stream = any($5)
        or substr(stream, 1, strpos(stream, '/')) = any($5))
   and ($6::timestamptz is null or recorded_at >= $6)
   and ($7::timestamptz is null or recorded_at < $7)
 order by position
 limit $3;

-- name: append
-- Append proposals; see log.append for the verdicts.
select verdicts, positions, versions
  from log.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13);

-- name: read
-- Rows behind a position, in order.
select position, event_id::text as event_id, stream, version, type, schema_version, data, meta,
       recorded_at
  from log.all_events
 where position > $1
 order by position
 limit $2;

-- name: page
-- Facts of some types between two positions, and telemetry of some types since a moment.
select position, event_id::text as event_id, stream, version, type, schema_version, data, meta,
       recorded_at
  from (
    (select position, event_id, stream, version, type, schema_version, data, meta, recorded_at
       from log.facts
      where position > $2 and position <= $5 and ($1::text[] is null or type = any($1))
      order by position limit $4)
    union all
    (select position, event_id, stream, version, type, schema_version, data, meta, recorded_at
       from log.telemetry
      where position > $2 and position <= $5 and ($1::text[] is null or type = any($1))
        and recorded_at >= $3
      order by position limit $4)
  ) page
 order by position
 limit $4;

-- name: head
-- The newest position, the event at it, and the log's time.
select h.position, e.event_id::text as event_id, clock_timestamp() as now
  from (select log.head() as position) h
  left join lateral (
    select event_id from log.all_events a where a.position = h.position) e on true;

-- name: cursor
-- The publisher's cursor, and the event now at its position.
select c.position, c.event_id::text as event_id, e.event_id::text as stands_on
  from log.cursors c
  left join lateral (
    select event_id from log.all_events a where a.position = c.position) e on true
 where c.name = 'publisher';

-- name: move_cursor
-- Move the publisher's cursor if it still stands where it was read.
update log.cursors set position = $2, event_id = $3::uuid, updated_at = clock_timestamp()
 where name = 'publisher' and position = $1;

-- name: make_partition
-- Make the telemetry partition of a day, if it is not there.
select log.make_partition((clock_timestamp() at time zone 'UTC')::date + $1::int);

-- name: everything
-- Every stored row behind a position, with its hash and its chain.
select position, event_id::text as event_id, stream, version, type, schema_version, data, meta,
       recorded_at, hash, telemetry
  from (
    (select f.*, null::text as telemetry from log.facts f
      where position > $1 order by position limit $2)
    union all
    (select t.*, 'telemetry_' || to_char(t.recorded_at at time zone 'UTC', 'YYYYMMDD')
       from log.telemetry t where position > $1 order by position limit $2)
  ) e
 order by position
 limit $2;

-- name: seals
-- The first and last positions of dropped partitions, and how many of them were theirs.
select first_position, last_position, events from log.seals order by first_position;

-- name: append
-- Append proposals; see log.append for the verdicts.
select verdicts, positions, versions
  from log.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14);

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
select h.position, e.event_id::text as event_id,
       greatest(clock_timestamp(), e.recorded_at) as now
  from (select log.head() as position) h
  left join lateral (
    select event_id, recorded_at from log.all_events a where a.position = h.position) e on true;

-- name: cursor
-- The publisher's cursor, and the event now at its position.
select c.position, c.event_id::text as event_id, e.event_id::text as stands_on,
       e.event_id is null and exists (
         select from log.seals s
          where c.position between s.first_position and s.last_position) as is_sealed
  from log.cursors c
  left join lateral (
    select event_id from log.all_events a where a.position = c.position) e on true
 where c.name = 'publisher';

-- name: move_cursor
-- Move the publisher's cursor if it still stands where it was read.
update log.cursors set position = $2, event_id = $3::uuid, updated_at = clock_timestamp()
 where name = 'publisher' and position = $1;

-- name: make_partition
-- Make the telemetry partition so many days ahead, if it is not there: ahead of the clock or of
-- the log's time, which never goes back though a clock was put back.
select log.make_partition((greatest(
         clock_timestamp(),
         (select e.recorded_at from log.all_events e where e.position = log.head())
       ) at time zone 'UTC')::date + $1::int);

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
-- What dropped partitions left: first and last position, and how many of them were theirs.
select first_position, last_position, events, partition, last_hash, sealed_by
  from log.seals order by first_position;

-- name: standings
-- What stands on a position, with the event that is there now.
select s.name, s.position, s.event_id::text as event_id, e.event_id::text as stands_on,
       e.event_id is null and exists (
         select from log.seals l
          where s.position between l.first_position and l.last_position) as is_sealed,
       s.is_cache
  from (select 'the cursor of the ' || name as name, position, event_id, false as is_cache
          from log.cursors
        union all
        select 'the checkpoint ' || name, position, event_id, false from rm.checkpoints
        union all
        select 'a snapshot of ' || service, position, event_id, true from log.snapshots) s
  left join lateral (
    select event_id from log.all_events a where a.position = s.position) e on true
 order by s.is_cache, s.name, s.position;

-- name: telemetry_versions
-- The version that each telemetry stream goes on from.
select stream, version from log.telemetry_heads;

-- name: facts_of
-- The latest facts at some positions and of one stream, up to a position.
select position, event_id::text as event_id, stream, version, type, schema_version, data, meta,
       recorded_at
  from (
    select * from log.facts
     where position = any($1::bigint[]) and position <= $3 and stream is distinct from $2
    union all
    (select * from log.facts where stream = $2 and position <= $3 order by version desc limit $4)
  ) found
 order by position desc
 limit $4;

-- name: lag
-- The head, where the publisher and the read models stand, and since when the first event behind
-- each has waited.
select log.head() as head, clock_timestamp() as now,
       p.position as published, p.since as published_since,
       r.position as read_models, r.since as read_models_since
  from (select c.position,
               (select e.recorded_at from log.all_events e where e.position > c.position
                 order by e.position limit 1) as since
          from log.cursors c where c.name = 'publisher') p
  left join (
       select k.position,
              (select e.recorded_at from log.all_events e where e.position > k.position
                order by e.position limit 1) as since
         from rm.checkpoints k where k.name = 'rm') r on true;

-- name: where
-- How far the read models are, and the last positions at these moments, in order.
select (select position from rm.checkpoints where name = 'rm') as position,
       array(select log.position_at(moment)
               from unnest($1::timestamptz[]) with ordinality as t(moment, n) order by n) as at;

-- name: newest
-- Events of rm.history under these keys, each between two positions, the newest $4 first.
select f.*
  from (select distinct h.position
          from unnest($1::text[], $2::bigint[], $3::bigint[]) as wanted(key, low, high)
         cross join lateral (
           select position from rm.history h
            where h.key = wanted.key and h.position > wanted.low and h.position < wanted.high
            order by h.position desc limit $4) h
         order by h.position desc limit $4) found
 cross join lateral (
   select position, event_id, stream, version, type, schema_version, data, meta, recorded_at
     from log.facts where position = found.position limit 1) f
 order by f.position desc;

-- name: oldest
-- The same, the oldest $4 first.
select f.*
  from (select distinct h.position
          from unnest($1::text[], $2::bigint[], $3::bigint[]) as wanted(key, low, high)
         cross join lateral (
           select position from rm.history h
            where h.key = wanted.key and h.position > wanted.low and h.position < wanted.high
            order by h.position limit $4) h
         order by h.position limit $4) found
 cross join lateral (
   select position, event_id, stream, version, type, schema_version, data, meta, recorded_at
     from log.facts where position = found.position limit 1) f
 order by f.position;

-- name: members
-- Which of these entries are in the history.
select w.position
  from unnest($1::text[], $2::bigint[]) as w(key, position)
 where exists (select 1 from rm.history h where h.key = w.key and h.position = w.position);

-- name: place_of_instance
-- Where an instance is or was, from which position until which.
select f.data->>'node_id' as name, f.position as low,
       (select e.position from log.facts e
         where e.stream = $1 and e.type = any($2::text[]) order by e.version limit 1) as high
  from log.facts f
 where f.stream = $1 and f.version = 1;

-- name: place_of_gpu
-- The node that a GPU is in, and since when it is known.
select g.row->>'node_id' as name,
       (select h.position from rm.history h
         where h.key = 'gpu/' || $1 || ' node.inventory_changed'
         order by h.position limit 1) as low,
       null::bigint as high
  from rm.gpus g
 where g.key = $1;

-- name: name_of_strategy
-- What a strategy is called, from which position until which.
select f.data->>'name' as name, f.position as low,
       (select e.position from log.facts e
         where e.stream = $1 and e.type = 'strategy.deleted' order by e.version limit 1) as high
  from log.facts f
 where f.stream = $1 and f.version = 1;

-- name: streams
-- Whole streams, and all that the history has under these keys, up to a position.
select f.*
  from (select f.position from log.facts f
         where f.stream = any($1::text[]) and f.position <= $3
         union
        select h.position from rm.history h
         where h.key = any($2::text[]) and h.position <= $3
         order by position limit $4) found
 cross join lateral (
   select position, event_id, stream, version, type, schema_version, data, meta, recorded_at
     from log.facts where position = found.position limit 1) f;

-- name: edges
-- Of each stream what opens and closes a story there: from what opened it first, since it was
-- closed last before version `first`, to what closes it next after version `last`, if anything.
select f.*
  from unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
         as w(stream, opens, closes, first, last)
 cross join lateral (
   select string_to_array(w.closes, ',') as closes,
          string_to_array(w.opens || ',' || w.closes, ',') as both) types
 cross join lateral (
   select coalesce(
            (select c.version from log.facts c
              where c.stream = w.stream and c.version < w.first and c.type = any(types.closes)
              order by c.version desc limit 1), 0) as before,
          coalesce(
            (select c.version from log.facts c
              where c.stream = w.stream and c.version > w.last and c.type = any(types.closes)
                and c.position <= $6
              order by c.version limit 1), 9223372036854775807) as through) bounds
 cross join lateral (
   select position, event_id, stream, version, type, schema_version, data, meta, recorded_at
     from log.facts f
    where f.stream = w.stream and f.version > bounds.before and f.version <= bounds.through
      and f.type = any(types.both) and f.position <= $6
    order by f.version limit $7) f;

-- name: facts_by_id
-- Facts by their event ids.
select f.*
  from unnest($1::uuid[]) as w(id)
 cross join lateral (
   select position, event_id, stream, version, type, schema_version, data, meta, recorded_at
     from log.facts where event_id = w.id limit 1) f;

-- name: telemetry_by_id
-- Telemetry by its event ids, where the log still has it.
select t.*
  from unnest($1::uuid[]) as w(id)
 cross join lateral (
   select position, event_id, stream, version, type, schema_version, data, meta, recorded_at
     from log.telemetry where event_id = w.id limit 1) t;

-- name: by_position
-- One event by its position.
select position, event_id, stream, version, type, schema_version, data, meta, recorded_at
  from log.all_events
 where position = $1;

-- name: effects
-- What events led to, of each the first so many after it, up to a position.
select w.cause, f.*
  from unnest($1::text[], $2::bigint[]) as w(cause, at)
 cross join lateral (
   select position from rm.causes c
    where c.key = w.cause and c.position > w.at and c.position <= $4
    order by c.position limit $3) c
 cross join lateral (
   select position, event_id, stream, version, type, schema_version, data, meta, recorded_at
     from log.facts where position = c.position limit 1) f
 order by f.position;

-- name: chain
-- What led to an event, nearest first, at most $2 steps: causes come before their effects.
with recursive up as (
  select 0 as depth, position, meta->>'causation_id' as cause
    from log.all_events where position = $1
   union all
  select up.depth + 1, c.position, c.cause
    from up
   cross join lateral (
     (select position, meta->>'causation_id' as cause
        from log.facts where event_id = rm.event_id(up.cause) limit 1)
      union all
     (select position, meta->>'causation_id' as cause
        from log.telemetry where event_id = rm.event_id(up.cause) limit 1)
      limit 1) c
   where up.cause is not null and c.position < up.position and up.depth < $2
)
select e.*
  from up
 cross join lateral (
   select position, event_id, stream, version, type, schema_version, data, meta, recorded_at
     from log.all_events where position = up.position limit 1) e
 where up.depth > 0
 order by up.depth;

-- name: first_cause
-- Where the chain of causes of the event at a position begins, if at most $2 steps away.
with recursive up as (
  select 0 as depth, position, meta->>'causation_id' as cause
    from log.all_events where position = $1
   union all
  select up.depth + 1, c.position, c.cause
    from up
   cross join lateral (
     (select position, meta->>'causation_id' as cause
        from log.facts where event_id = rm.event_id(up.cause) limit 1)
      union all
     (select position, meta->>'causation_id' as cause
        from log.telemetry where event_id = rm.event_id(up.cause) limit 1)
      limit 1) c
   where up.cause is not null and c.position < up.position and up.depth < $2
)
select e.*
  from up
 cross join lateral (
   select position, event_id, stream, version, type, schema_version, data, meta, recorded_at
     from log.all_events where position = up.position limit 1) e
 where up.cause is null;

-- name: events_from
-- Events from a position on, that one included, to see that it is still the one we stood on.
select position, event_id, stream, version, type, schema_version, recorded_at,
       case when type = any($3::text[]) then data end as data,
       case when type = any($4::text[]) then meta end as meta
  from log.all_events
 where position >= $1
 order by position
 limit $2;

-- name: seals_between
-- Positions whose telemetry was dropped, touching a range.
select first_position, last_position
  from log.seals
 where last_position >= $1 and first_position <= $2
 order by first_position;

-- name: skips_of
-- What operators let pass of this service at this position, by event id.
select data
  from log.facts
 where position > $1 and type = 'fold.skipped'
 order by position;

-- name: head
-- The newest position of the log.
select log.head();

-- name: checkpoint
-- Where the read models stand.
select position, event_id from rm.checkpoints where name = $1;

-- name: move_checkpoint
-- Move on from exactly where we stood: no row means that somebody else moved it.
update rm.checkpoints
   set position = $3, event_id = $4, updated_at = clock_timestamp()
 where name = $1 and position = $2;

-- name: try_alone
-- Take the right to project, without waiting; it goes with the session.
select pg_try_advisory_lock(hashtextextended($1, 0));

-- name: not_alone
-- Give the right to project back.
select pg_advisory_unlock(hashtextextended($1, 0));

-- name: load_rows
-- The rows of these keys.
select key, position, row from rm.{model} where key = any($1::text[]);

-- name: save_rows
-- Put rows as they are now.
insert into rm.{model} as t (key, position, row)
select * from unnest($1::text[], $2::bigint[], $3::jsonb[])
    on conflict (key) do update set position = excluded.position, row = excluded.row
 where t.position < excluded.position;

-- name: remove_rows
-- Remove the rows of these keys.
delete from rm.{model} where key = any($1::text[]);

-- name: close_rows
-- Keep rows that were.
insert into rm.{model}_history (key, from_position, to_position, row)
select * from unnest($1::text[], $2::bigint[], $3::bigint[], $4::jsonb[]);

-- name: append_entries
-- Append entries of a series.
insert into rm.{model} (key, position, at, row)
select * from unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::jsonb[]);

-- name: trim_entries
-- Keep the newest so many entries of each of these keys.
delete from rm.{model} t
 using unnest($1::text[]) as touched(key)
 where t.key = touched.key
   and t.position <= (select o.position from rm.{model} o
                       where o.key = touched.key
                       order by o.position desc offset $2 limit 1);

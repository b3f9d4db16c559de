-- name: frame
-- The event we stand on, and which positions come next: $2 of them at most, at most through $3.
select (select event_id from log.all_events where position = $1) as event_id,
       next.count, next.last,
       (select event_id from log.all_events where position = next.last) as last_event_id
  from (select count(*) as count, max(position) as last
          from (select position
                  from log.all_events
                 where position > $1 and position <= coalesce($3::bigint, 9223372036854775807)
                 order by position
                 limit $2) as following) as next;

-- name: events_between
-- What changes a read model between two positions: facts of types $3, telemetry of types $4, of
-- telemetry of types $5 the last in each stream, of types $6 what is not trimmed when $7 are kept.
select position, event_id, stream, version, type, schema_version, recorded_at, data, meta
  from (select position, event_id, stream, version, type, schema_version, recorded_at, data, meta
          from log.facts
         where position > $1 and position <= $2 and type = any($3::text[])
         union all
        select position, event_id, stream, version, type, schema_version, recorded_at, data, null
          from log.telemetry t
         where position > $1 and position <= $2 and type = any($4::text[])
           and ($7::bigint is null or type <> all($6::text[])
                or version > (select h.version - $7 from log.telemetry_heads h
                               where h.stream = t.stream))
         union all
        select position, event_id, stream, version, type, schema_version, recorded_at, data, null
          from log.telemetry
         where position = any(array(
                 select max(position) from log.telemetry
                  where position > $1 and position <= $2 and type = any($5::text[])
                  group by stream, type))) as events
 order by position;

-- name: positions
-- The positions of a range that are there.
select position
  from log.all_events
 where position > $1 and position <= $2
 order by position;

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

-- name: checkpoint
-- Where the read models stand.
select position, event_id from rm.checkpoints where name = $1;

-- name: move_checkpoint
-- Move on from exactly where we stood: no row means that somebody else moved it.
update rm.checkpoints
   set position = $3, event_id = $4, updated_at = clock_timestamp()
 where name = $1 and position = $2;

-- name: checkpoint_of_build
-- Where a build stands.
select position, event_id from rm.builds where build = $1;

-- name: move_build
-- Move a build on from exactly where it stood, and see how fast it goes.
update rm.builds
   set position = $3, event_id = $4, target = greatest(target, log.head(), $3),
       events_per_s = (
         case when events_per_s is null then ($3 - $2) / greatest(extract(epoch from
                clock_timestamp() - updated_at), 0.001)
           else 0.8 * events_per_s + 0.2 * ($3 - $2) / greatest(extract(epoch from
                clock_timestamp() - updated_at), 0.001) end)::real,
       updated_at = clock_timestamp()
 where build = $1 and position = $2 and finished_at is null;

-- name: commit_soon
-- Let a commit return before it is on disk; what is lost with the machine is made again.
set local synchronous_commit = off;

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

-- name: trim_entries
-- Keep the newest so many entries of each of these keys.
delete from rm.{model} t
 using unnest($1::text[]) as touched(key)
 where t.key = touched.key
   and t.position <= (select o.position from rm.{model} o
                       where o.key = touched.key
                       order by o.position desc offset $2 limit 1);

-- name: trim_all
-- Keep the newest so many entries of every key.
delete from rm.{model} t
 using (select k.key, (select o.position from rm.{model} o
                        where o.key = k.key
                        order by o.position desc offset $1 limit 1) as last
          from (select distinct key from rm.{model}) k) old
 where t.key = old.key and t.position <= old.last;

-- name: versions
-- How each live model was made.
select model, fingerprint, since from rm.versions;

-- name: settle
-- Where nothing is projected yet, all is made by today's projections.
insert into rm.versions (model, fingerprint, since)
select made.model, made.fingerprint, log.head()
  from unnest($1::text[], $2::text[]) as made(model, fingerprint)
 where (select position from rm.checkpoints where name = 'rm') = 0
    on conflict (model) do update
   set fingerprint = excluded.fingerprint, since = excluded.since, made_at = clock_timestamp();

-- name: orders
-- Orders to rebuild that no build answers, oldest first.
select r.position, r.row as data
  from rm.rebuilds r
 where not exists (select from rm.builds b where b.build_id = r.key)
 order by r.position;

-- name: unfolded_orders
-- Orders to rebuild that are in the log, but not among those that the live read models know.
select f.position, f.data
  from log.facts f
 where f.type = 'rebuild.asked'
   and not exists (select from rm.rebuilds r where r.key = f.data->>'rebuild_id')
   and not exists (select from rm.builds b where b.build_id = f.data->>'rebuild_id'
                                             and b.finished_at is not null)
 order by f.position;

-- name: unfinished_build
-- The build that was begun and is not over.
select build, build_id, because, models, fingerprints
  from rm.builds
 where finished_at is null
 order by build limit 1;

-- name: begin_build
-- Begin a build; its tables are there, and empty.
select rm.begin_build($1, $2, $3, $4);

-- name: answer_order
-- Note what came of an order that needs no build, or can have none.
insert into rm.builds (build_id, because, models, fingerprints, state, since, target, problem,
                       finished_at)
values ($1, $2, $3, $4, case when $5::text is null then 'done' else 'failed' end,
        log.head(), 0, $5, clock_timestamp());

-- name: tell_build
-- Note what a build is doing.
update rm.builds
   set state = $2, problem = $3, target = greatest(target, log.head()),
       updated_at = clock_timestamp()
 where build = $1;

-- name: index_build
-- Make the indexes of a build's tables.
select rm.index_build($1);

-- name: sealed
-- The last position whose telemetry is gone.
select max(last_position) from log.seals;

-- name: carry_over
-- Take over from a live model what only dropped telemetry could tell.
select rm.carry_over($1, $2, $3);

-- name: differences
-- How a build differs from the live tables.
select name, rows, keys from rm.differences($1, $2, $3, $4);

-- name: note_differences
-- Note how a build differs from what it replaces.
update rm.builds set differences = $2 where build = $1;

-- name: swap_in
-- Make a build's tables the live ones.
select rm.swap_in($1, $2, $3);

-- name: drop_compared
-- End a build that was made to be compared.
select rm.drop_compared($1);

-- name: give_up_build
-- Drop a build's tables, and keep why.
select rm.give_up_build($1, $2);

-- name: drop_replaced
-- Drop tables that were replaced so many seconds ago.
select name from rm.drop_replaced(make_interval(secs => $1)) as name;

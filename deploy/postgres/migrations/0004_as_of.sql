-- The past: every read model as it was at any position, and the position of any moment.
--
-- For each rm.<model> there is rm.<model>_at(as_of), the rows that held at that position, and
-- rm.<model>_at(as_of, wanted), the one of them by its key, for joins. They are SQL with bodies
-- resolved by name when they are called, since a rebuild swaps the tables, and plain enough for the
-- planner to see through. What is composed of several of them is in 0010_as_of_statuses.sql.

-- Rows that were are found by a relational interval tree (Kriegel, Poetke, Seidl: Managing
-- Intervals Efficiently in Object-Relational Databases, VLDB 2000): a row that held from one
-- position until before another is kept under the one number among those positions that can be
-- halved most often. Whatever held at a position is under one of the few numbers on that
-- position's way through the tree of halves. An ordinary index, and a twelfth of the price of one
-- over ranges.
create function rm.fork(from_position bigint, to_position bigint) returns bigint
language sql immutable parallel safe as $$
  select (to_position - 1) & (-1::bigint << greatest(0, width_bucket(from_position # (to_position - 1),
    '{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072,
      262144, 524288, 1048576, 2097152, 4194304, 8388608, 16777216, 33554432, 67108864, 134217728,
      268435456, 536870912, 1073741824, 2147483648, 4294967296, 8589934592, 17179869184,
      34359738368, 68719476736, 137438953472, 274877906944, 549755813888, 1099511627776}'::bigint[]) - 1))
$$;

create function rm.forks(as_of bigint) returns bigint[] language sql immutable parallel safe as $$
  select array_agg(distinct fork)
    from generate_series(0, 40) as bit,
         unnest(array[(as_of >> bit) << bit, ((as_of >> bit) | 1) << bit]) as fork
$$;

-- Make a model's past; named with it are the columns that readers look it up by. Its rows are in
-- the order of their keys, so that a page of a list stops when it is full.
create function rm.make_past(model text, variadic looked_up_by text[] default '{}') returns void
language plpgsql as $make$
declare
  type_of text := (select string_agg(format(', %I %s', c, case c when 'open' then 'boolean'
                     else 'text collate "C"' end), '' order by n)
                     from unnest(looked_up_by) with ordinality as t(c, n));
  now_are text := (select string_agg(format(', t.%I', c), '' order by n)
                     from unnest(looked_up_by) with ordinality as t(c, n));
  were    text := (select string_agg(format(case c when 'open' then ', (h.row->>%L)::boolean'
                     else ', (h.row->>%L) collate "C"' end, c), '' order by n)
                     from unnest(looked_up_by) with ordinality as t(c, n));
begin
  execute format(
    'create type rm.%I as (key text collate "C", position bigint, row jsonb%s)',
    model || '_then', type_of);
  execute format(
    'create index on rm.%I (rm.fork(from_position, to_position), from_position, to_position)',
    model || '_history');
  execute format($sql$
    create function rm.%1$I(as_of bigint) returns setof rm.%2$I
    language sql stable parallel safe as $$
      (select t.key, t.position, t.row%3$s
         from rm.%4$I t
        where t.position <= as_of
        order by t.key)
       union all
      (select h.key, h.from_position, h.row%5$s
         from rm.%6$I h
        where rm.fork(h.from_position, h.to_position) = any(rm.forks(as_of))
          and h.from_position <= as_of and h.to_position > as_of
        order by h.key)
    $$ $sql$, model || '_at', model || '_then', now_are, model, were, model || '_history');
  execute format($sql$
    create function rm.%1$I(as_of bigint, wanted text) returns setof rm.%2$I
    language sql stable parallel safe as $$
      select t.key, t.position, t.row%3$s
        from rm.%4$I t
       where t.key = wanted and t.position <= as_of
       union all
      select h.key, h.from_position, h.row%5$s
        from (select * from rm.%6$I o
               where o.key = wanted and o.to_position > as_of
               order by o.to_position limit 1) h
       where h.from_position <= as_of
    $$ $sql$, model || '_at', model || '_then', now_are, model, were, model || '_history');
end $make$;

select rm.make_past(model) from unnest(array['environments', 'queues', 'strategies', 'webhooks',
                                             'names', 'leases', 'asks']) as model;
select rm.make_past('models', 'environment_id');
select rm.make_past('nodes', 'environment_id');
select rm.make_past('gpus', 'node_id');
select rm.make_past('instances', 'model_id', 'node_id', 'state');
select rm.make_past('alerts', 'open');
drop function rm.make_past(text, text[]);

-- What is looked up in the past beside its key.
create index on rm.gpus_history ((row->>'node_id') collate "C",
  rm.fork(from_position, to_position), from_position, to_position);
create index on rm.instances_history ((row->>'model_id') collate "C",
  rm.fork(from_position, to_position), from_position, to_position);

-- Instances stay for ever: without these a page of few among many would walk them all.
create index on rm.instances (position);
create index on rm.instances (model_id, key);
create index on rm.instances (node_id, key);
create index on rm.instances (key) where state in ('requested', 'ready', 'stopping');

-- What telemetry said last; partitions made later have these as well. By moment before position,
-- which is the same order: so partitions are read one after the other, the newest first, and no
-- other index looks as good to the planner.
create index telemetry_of_stream on log.telemetry (stream, recorded_at, position);
create index telemetry_heartbeats on log.telemetry (stream, recorded_at, position)
  where type = 'node.heartbeat';
-- A deleted node's reports are none of the next one's under its id.
create index facts_of_deletion on log.facts (stream, position) where type = 'node.deleted';

-- Telemetry's data as the projector stores it: jsonb cannot hold the character U+0000.
create function rm.stored(data json) returns jsonb language sql immutable parallel safe as $$
  select case when position('\u0000' in data::text) = 0 then data::jsonb
    else regexp_replace(data::text, '((?:^|[^\\])(?:\\\\)*)\\u0000', '\1\\ufffd', 'g')::jsonb end
$$;

-- Times as the projector writes them.
create function rm.moment(at timestamptz) returns text language sql stable parallel safe as $$
  select to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
$$;

-- The past of what only grows.
create type rm.decisions_then as (key text collate "C", position bigint, at timestamptz, row jsonb);
create function rm.decisions_at(as_of bigint) returns setof rm.decisions_then
language sql stable parallel safe as $$
  select d.key, d.position, d.at, d.row from rm.decisions d where d.position <= as_of
$$;

create function log.facts_at(as_of bigint) returns setof log.facts language sql stable as $$
  select * from log.facts f where f.position <= as_of
$$;
create function log.telemetry_at(as_of bigint) returns setof log.telemetry language sql stable as $$
  select * from log.telemetry t where t.position <= as_of
$$;
create function log.all_events_at(as_of bigint) returns setof log.all_events
language sql stable as $$
  select * from log.all_events e where e.position <= as_of
$$;

-- When a position was recorded; of one whose telemetry is gone, the newest known before it.
create function log.moment_at(as_of bigint) returns timestamptz language sql stable as $$
  select greatest(
    (select f.recorded_at from log.facts f where f.position <= as_of order by f.position desc limit 1),
    (select t.recorded_at from log.telemetry t where t.position <= as_of
      order by t.position desc limit 1))
$$;

-- The last position recorded at a moment or before it, 0 when there is none. Positions are dense
-- and moments never decrease, so it is searched by halves.
create function log.position_at(moment timestamptz) returns bigint language plpgsql stable
set plan_cache_mode = force_generic_plan as $$
declare
  low       bigint := 0;               -- recorded in time, or before all events
  high      bigint := log.head() + 1;  -- recorded too late, or after all events
  middle    bigint;
  found     record;
begin
  while high - low > 1 loop
    middle := low + (high - low) / 2;
    select e.position, e.recorded_at into found
      from ((select f.position, f.recorded_at from log.facts f
              where f.position >= middle and f.position < high order by f.position limit 1)
             union all
            (select t.position, t.recorded_at from log.telemetry t
              where t.position >= middle and t.position < high order by t.position limit 1)) e
     order by e.position limit 1;
    if found.position is null or found.recorded_at > moment then
      high := middle;
    else
      low := found.position;
    end if;
  end loop;
  return low;
end $$;

revoke execute on function log.facts_at(bigint), log.telemetry_at(bigint),
  log.all_events_at(bigint), log.moment_at(bigint), log.position_at(timestamptz) from public;
grant execute on function log.facts_at(bigint), log.telemetry_at(bigint),
  log.all_events_at(bigint), log.moment_at(bigint), log.position_at(timestamptz)
  to qm_journal, qm_projector, qm_query;

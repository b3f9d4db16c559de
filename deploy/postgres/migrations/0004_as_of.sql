-- The past: every read model as it was at any position, and the position of any moment.
--
-- For each rm.<model> there is rm.<model>_at(as_of), the rows that held at that position, and
-- rm.<model>_at(as_of, wanted), the one of them by its key, for joins. Each rm.<status> view has its
-- rm.<status>_at(as_of, moment); `moment`, when the position was recorded, leaves the partitions of
-- later telemetry out. All of them are SQL with bodies resolved by name when they are called, since
-- a rebuild swaps the tables, and plain enough for the planner to see through.

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

-- What a node had said last, as far as the log still has it: the fold of projection node_reports.
-- Planned once, and not with the reader's statement: planning for a month of partitions takes
-- longer than reading them. Mostly it is what the node said within the day before, or still says.
create function rm.node_report_at(as_of bigint, moment timestamptz, node text) returns jsonb
language plpgsql stable cost 10000 set plan_cache_mode = force_generic_plan as $$
declare
  reports text := 'node-reports/' || node;
  now_is  record;
  deleted record;
  said    record;
  beat    record;
  uses    jsonb;
begin
  select r.position, r.row into now_is from rm.node_reports r where r.key = node;
  if now_is.position <= as_of then return now_is.row; end if;
  select coalesce(max(f.position) filter (where f.position <= as_of), 0) as before,
         coalesce(bool_or(f.position > as_of), false) as later into deleted
    from log.facts f where f.stream = 'node/' || node and f.type = 'node.deleted';

  select t.position, t.recorded_at, rm.stored(t.data) as data into said from log.telemetry t
   where t.stream = reports and t.type = 'node.reported'
     and t.position <= as_of and t.position > deleted.before
     and t.recorded_at <= moment and t.recorded_at > moment - interval '1 day'
   order by t.recorded_at desc, t.position desc limit 1;
  if not found then
    select t.position, t.recorded_at, rm.stored(t.data) as data into said from log.telemetry t
     where t.stream = reports and t.type = 'node.reported'
       and t.position <= as_of and t.position > deleted.before
       and t.recorded_at <= moment - interval '1 day'
     order by t.recorded_at desc, t.position desc limit 1;
  end if;
  -- A node that has never called in until now had not then.
  if deleted.later or now_is.row is null or now_is.row->>'heartbeat_at' is not null then
    select t.position, t.recorded_at into beat from log.telemetry t
     where t.stream = reports and t.type = 'node.heartbeat'
       and t.position <= as_of and t.position > deleted.before and t.recorded_at <= moment
     order by t.recorded_at desc, t.position desc limit 1;
  else
    select null::bigint as position, null::timestamptz as recorded_at into beat;
  end if;
  if said.position is null and beat.position is null then return null; end if;

  select jsonb_object_agg(gpu->>'uuid', jsonb_build_object(
           'memory_used_mb', coalesce(gpu->'memory_used_mb', '0'),
           'utilization_percent', coalesce(gpu->'utilization_percent', '0.0'),
           'foreign_pids', coalesce(gpu->'foreign_pids', '[]'))) into uses
    from jsonb_array_elements(said.data->'gpus') as gpu;
  return jsonb_build_object(
    'node_id', node,
    'boot_id', said.data->'boot_id',
    'gpus', coalesce(uses, '{}'),
    'instances', coalesce(said.data->'instances', '[]'),
    'answer_ms', case when said.data is not null then coalesce(said.data->'answer_ms', '0.0') end,
    'reported_at', rm.moment(said.recorded_at),
    'heartbeat_at', rm.moment(beat.recorded_at),
    'last_seen_at', rm.moment(greatest(said.recorded_at, beat.recorded_at)));
end $$;

create type rm.sample_then as (position bigint, at timestamptz, length bigint, row jsonb);

-- One sample as projection queue_history has it.
create function rm.sample(data json, at timestamptz) returns jsonb
language sql stable parallel safe as $$
  select jsonb_build_object(
    'sampled_at', rm.moment(at),
    'length', data->'length',
    'ready', data->'ready',
    'unacknowledged', data->'unacknowledged',
    'consumers', coalesce(data->'consumers', '0'),
    'published_total', data->'published_total',
    'source', coalesce(data->'source', '"management"'))
$$;

-- The newest samples of a queue up to a position, the newest first: those that the read model still
-- has, and then those it had, as far as the log still has them.
create function rm.samples_at(as_of bigint, moment timestamptz, model text, many bigint)
returns setof rm.sample_then language plpgsql stable rows 1 cost 10000
set plan_cache_mode = force_generic_plan as $$
declare
  samples text := 'queue-samples/' || model;
  before  bigint := least(as_of + 1, (select min(h.position) from rm.queue_history h
                                       where h.key = model));
  got     bigint;
begin
  return query
    select h.position, h.at, h.length, h.row from rm.queue_history h
     where h.key = model and h.position <= as_of
     order by h.position desc limit many;
  get diagnostics got = row_count;
  many := many - got;
  if many = 0 then return; end if;
  return query
    select t.position, t.recorded_at, (t.data->>'length')::bigint, rm.sample(t.data, t.recorded_at)
      from log.telemetry t
     where t.stream = samples and t.type = 'queue.sampled' and t.position < before
       and t.recorded_at <= moment and t.recorded_at > moment - interval '1 day'
     order by t.recorded_at desc, t.position desc limit many;
  get diagnostics got = row_count;
  many := many - got;
  if many = 0 then return; end if;
  return query
    select t.position, t.recorded_at, (t.data->>'length')::bigint, rm.sample(t.data, t.recorded_at)
      from log.telemetry t
     where t.stream = samples and t.type = 'queue.sampled' and t.position < before
       and t.recorded_at <= moment - interval '1 day'
     order by t.recorded_at desc, t.position desc limit many;
end $$;

-- A queue's newest sample, with the mean length of the five minutes up to it.
create function rm.queue_sample_at(as_of bigint, moment timestamptz, model text) returns jsonb
language plpgsql stable cost 10000 set plan_cache_mode = force_generic_plan as $$
declare
  newest record;
begin
  select * into newest from rm.samples_at(as_of, moment, model, 1);
  if not found then return null; end if;
  return newest.row || jsonb_build_object('mean_length_5m', (
    select round(avg(s.length), 3)
      from (select h.position, h.length from rm.queue_history h
             where h.key = model and h.position <= newest.position
               and h.at > newest.at - interval '5 minutes'
             union
            select t.position, (t.data->>'length')::bigint from log.telemetry t
             where t.stream = 'queue-samples/' || model and t.type = 'queue.sampled'
               and t.position <= newest.position
               and t.recorded_at > newest.at - interval '5 minutes'
               and t.recorded_at <= newest.at) s));
end $$;

-- A GPU as its node lets it be, of the rows of both and of what the node said.
create function rm.gpu_then(
  state text, permitted boolean, environment_id text, gpu jsonb, uses jsonb)
returns jsonb language sql stable parallel safe as $$
  select gpu - 'quarantine' || jsonb_build_object(
    'environment_id', environment_id,
    'state', state,
    'permitted', permitted,
    'available', state = 'free' and permitted,
    'quarantine', gpu->'quarantine',
    'memory_used_mb', uses->'memory_used_mb',
    'utilization_percent', uses->'utilization_percent',
    'foreign_pids', uses->'foreign_pids')
$$;

create function rm.gpu_state_then(uuid text, gpu jsonb, node jsonb) returns text
language sql stable parallel safe as $$
  select case
    when not node->'gpus' @> jsonb_build_array(jsonb_build_object('uuid', uuid))
      or node->>'status' <> 'online' then 'offline'
    when gpu->'quarantine' <> 'null' then 'quarantined'
    when gpu->'instance_id' <> 'null' then 'allocated'
    else 'free'
  end
$$;

create function rm.gpu_permitted_then(gpu jsonb, node jsonb) returns boolean
language sql stable parallel safe as $$
  select coalesce(node->'available_gpu_ids' @> (gpu->'index'), false)
$$;

create type rm.node_status_then as (
  key text collate "C", environment_id text collate "C", row jsonb, report jsonb);
create type rm.model_status_then as (
  key text collate "C", environment_id text collate "C", row jsonb);
create type rm.queue_status_then as (
  key text collate "C", environment_id text collate "C", row jsonb);
create type rm.gpu_status_then as (
  key text collate "C", node_id text collate "C", environment_id text collate "C",
  state text collate "C", row jsonb);

-- The statuses as the views have them. `offset 0` has what is dear looked up once for a row, and
-- only for the rows of the page.
create function rm.node_status_at(as_of bigint, moment timestamptz)
returns setof rm.node_status_then language sql stable as $$
  select n.key, n.environment_id,
         n.row || jsonb_build_object(
           'last_seen_at', coalesce(r.said->'last_seen_at', n.row->'last_seen_at'),
           'heartbeat_at', r.said->'heartbeat_at',
           'answer_ms', r.said->'answer_ms'),
         r.said
    from rm.nodes_at(as_of) n
   cross join lateral (select rm.node_report_at(as_of, moment, n.key) as said offset 0) r
$$;

create function rm.gpu_status_at(as_of bigint, moment timestamptz)
returns setof rm.gpu_status_then language sql stable as $$
  select g.key, g.node_id, n.environment_id, state.state,
         rm.gpu_then(state.state, rm.gpu_permitted_then(g.row, n.row), n.environment_id, g.row,
                     r.said->'gpus'->g.key)
    from rm.gpus_at(as_of) g
   cross join lateral rm.nodes_at(as_of, g.node_id) n
   cross join lateral (select rm.gpu_state_then(g.key, g.row, n.row) as state) state
   cross join lateral (select rm.node_report_at(as_of, moment, g.node_id) as said offset 0) r
$$;

create function rm.model_status_at(as_of bigint, moment timestamptz)
returns setof rm.model_status_then language sql stable as $$
  select m.key, m.environment_id, m.row || jsonb_build_object('instances', i.counts)
    from rm.models_at(as_of) m
   cross join lateral (
     select jsonb_build_object(
              'requested', count(*) filter (where o.state = 'requested'),
              'ready', count(*) filter (where o.state = 'ready'),
              'stopping', count(*) filter (where o.state = 'stopping')) as counts
       from rm.instances_at(as_of) o
      where o.model_id = m.key and o.state in ('requested', 'ready', 'stopping')) i
$$;

create function rm.queue_status_at(as_of bigint, moment timestamptz)
returns setof rm.queue_status_then language sql stable as $$
  select m.key, m.environment_id,
         jsonb_build_object(
           'model_id', m.key,
           'model_name', m.row->'name',
           'environment_id', m.environment_id,
           'queue_name', m.row->'queue'->'name',
           'length', s.row->'length',
           'ready', s.row->'ready',
           'unacknowledged', s.row->'unacknowledged',
           'consumers', s.row->'consumers',
           'published_total', s.row->'published_total',
           'sampled_at', s.row->'sampled_at',
           'mean_length_5m', s.row->'mean_length_5m',
           'reachable', coalesce(q.row->'reachable', to_jsonb(s.row is not null or null)),
           'error', q.row->'error',
           'error_since', case when q.row->'reachable' = 'false' then q.row->'since' end)
    from rm.models_at(as_of) m
    left join lateral rm.queues_at(as_of, m.key) q on true
   cross join lateral (select rm.queue_sample_at(as_of, moment, m.key) as row offset 0) s
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

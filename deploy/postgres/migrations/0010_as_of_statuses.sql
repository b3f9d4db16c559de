-- The past of what is composed of rows and telemetry: each rm.<status> view has its
-- rm.<status>_at(as_of, moment). `moment`, when the position was recorded, leaves the partitions of
-- later telemetry out; `kept` is how many samples are kept of a queue.

-- The views of now once more, for readers of many rows. What a reader sorts and joins GPUs by is
-- beside the row, which would be built anew for each of them. A mean is of 300 samples at most: of
-- five minutes of one a second, however fast they come.
create or replace view rm.gpu_status as
  select g.key, g.node_id, n.environment_id, state.state,
         g.row - 'quarantine' || jsonb_build_object(
           'environment_id', n.environment_id,
           'state', state.state,
           'permitted', place.permitted,
           'available', state.state = 'free' and place.permitted,
           'quarantine', g.row->'quarantine',
           'memory_used_mb', use.live->'memory_used_mb',
           'utilization_percent', use.live->'utilization_percent',
           'foreign_pids', use.live->'foreign_pids') as row,
         g.row->'index' as index, g.row->>'instance_id' as instance_id
    from rm.gpus g
    join rm.nodes n on n.key = g.node_id
    left join rm.node_reports r on r.key = g.node_id
    cross join lateral (select r.row->'gpus'->g.key as live) use
    cross join lateral (
      select n.row->'gpus' @> jsonb_build_array(jsonb_build_object('uuid', g.key)) as there,
             coalesce(n.row->'available_gpu_ids' @> (g.row->'index'), false) as permitted) place
    cross join lateral (
      select case
        when not place.there or n.row->>'status' <> 'online' then 'offline'
        when g.row->'quarantine' <> 'null' then 'quarantined'
        when g.row->'instance_id' <> 'null' then 'allocated'
        else 'free'
      end as state) state;

create or replace view rm.queue_status as
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
           'mean_length_5m', mean.length,
           'reachable', coalesce(q.row->'reachable', to_jsonb(s.row is not null or null)),
           'error', q.row->'error',
           'error_since', case when q.row->'reachable' = 'false' then q.row->'since' end) as row
    from rm.models m
    left join rm.queues q on q.key = m.key
    left join lateral (
      select h.at, h.row from rm.queue_history h
       where h.key = m.key order by h.position desc limit 1) s on true
    left join lateral (
      select round(avg(newest.length), 3) as length
        from (select h.length from rm.queue_history h
               where h.key = m.key and h.at > s.at - interval '5 minutes'
               order by h.at desc, h.position desc limit 300) newest) mean on true;

-- An object as text, with one more member that is JSON already.
create function rm.with_member(object jsonb, name text, value text) returns text
language sql immutable parallel safe as $$
  select left(object::text, -1) || ',"' || name || '":' || value || '}'
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

-- A queue's newest sample, with the mean length of the five minutes up to it: of as many samples as
-- were `kept`, and of no more than the view of now looks at.
create function rm.queue_sample_at(as_of bigint, moment timestamptz, kept bigint, model text)
returns jsonb language plpgsql stable cost 10000 set plan_cache_mode = force_generic_plan as $$
declare
  many   bigint := least(kept, 300);
  newest record;
  before bigint;
  total  bigint;
  known  bigint;
  more   record;
begin
  select * into newest from rm.samples_at(as_of, moment, model, 1);
  if not found then return null; end if;
  select coalesce(sum(s.length), 0), count(*) into total, known
    from (select h.length from rm.queue_history h
           where h.key = model and h.at <= newest.at and h.at > newest.at - interval '5 minutes'
             and h.position <= newest.position
           order by h.at desc, h.position desc limit many) s;
  if known < many then
    before := least(newest.position + 1, (select min(h.position) from rm.queue_history h
                                           where h.key = model));
    select coalesce(sum(s.length), 0) as total, count(*) as known into more
      from (select (t.data->>'length')::bigint as length from log.telemetry t
             where t.stream = 'queue-samples/' || model and t.type = 'queue.sampled'
               and t.recorded_at <= newest.at
               and t.recorded_at > newest.at - interval '5 minutes' and t.position < before
             order by t.recorded_at desc, t.position desc limit many - known) s;
    total := total + more.total;
    known := known + more.known;
  end if;
  return newest.row || jsonb_build_object('mean_length_5m', round(total::numeric / known, 3));
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

create function rm.queue_status_at(as_of bigint, moment timestamptz, kept bigint)
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
   cross join lateral (select rm.queue_sample_at(as_of, moment, kept, m.key) as row offset 0) s
$$;

-- Read models: what the projector folds out of the log, and the query service reads.
--
-- Each model of rows is a pair of tables. rm.<model> holds the rows as they are now, each with the
-- position that it stands since. rm.<model>_history holds the rows that were: true from
-- from_position until just before to_position; it is only ever appended to. Together they answer
-- what a row was at any position. Models that telemetry changes at every sample have no history.
-- jsonb, not json: readers join, filter and compose by fields, and generated columns stay in step.

create schema rm authorization qm_owner;
grant usage on schema rm to qm_projector, qm_query;

create table rm.checkpoints (
  name        text collate "C" primary key,
  position    bigint not null,
  event_id    uuid,
  updated_at  timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
insert into rm.checkpoints (name, position) values ('rm', 0);

create function rm.make_rows(model text) returns void language plpgsql as $$
begin
  execute format(
    'create table rm.%I (
       key       text collate "C" primary key,
       position  bigint not null,
       row       jsonb not null
     ) with (fillfactor = 80)', model);
end $$;

create function rm.make_history(model text) returns void language plpgsql as $$
begin
  execute format(
    'create table rm.%I (
       key            text collate "C" not null,
       from_position  bigint not null,
       to_position    bigint not null,
       row            jsonb not null,
       primary key (key, to_position)
     )', model || '_history');
  execute format('create index on rm.%I using brin (to_position)', model || '_history');
end $$;

create function rm.make_series(model text) returns void language plpgsql as $$
begin
  execute format(
    'create table rm.%I (
       key       text collate "C" not null,
       position  bigint not null,
       at        timestamptz not null,
       row       jsonb not null,
       primary key (key, position)
     )', model);
end $$;

select rm.make_rows(model), rm.make_history(model)
  from unnest(array['environments', 'models', 'nodes', 'gpus', 'instances', 'queues', 'strategies',
                    'alerts', 'webhooks', 'names', 'leases', 'asks']) as model;
select rm.make_rows('node_reports');
select rm.make_series(model) from unnest(array['queue_history', 'decisions']) as model;

drop function rm.make_rows(text), rm.make_history(text), rm.make_series(text);

-- What readers look rows up by.
alter table rm.models
  add environment_id text collate "C" generated always as (row->>'environment_id') stored;
create index on rm.models (environment_id, key);

alter table rm.nodes
  add environment_id text collate "C" generated always as (row->>'environment_id') stored,
  add boot_id text collate "C" generated always as (row->>'boot_id') stored;
create index on rm.nodes (environment_id, key);

alter table rm.gpus
  add node_id text collate "C" generated always as (row->>'node_id') stored;
create index on rm.gpus (node_id, key);

alter table rm.instances
  add model_id text collate "C" generated always as (row->>'model_id') stored,
  add node_id text collate "C" generated always as (row->>'node_id') stored,
  add state text collate "C" generated always as (row->>'state') stored;
create index on rm.instances (model_id, state, key);
create index on rm.instances (node_id, state, key);
create index on rm.instances (state, key);

alter table rm.alerts add open boolean generated always as ((row->>'open')::boolean) stored;
create index on rm.alerts (key) where open;

alter table rm.queue_history
  add length bigint generated always as ((row->>'length')::bigint) stored;

create index on rm.decisions (position);

-- A GPU as its node lets it be: offline with its node or without a place in the inventory, and
-- available only where the node permits its index.
create view rm.gpu_status as
  select g.key, g.node_id, n.environment_id, state.state,
         g.row - 'quarantine' || jsonb_build_object(
           'environment_id', n.environment_id,
           'state', state.state,
           'permitted', place.permitted,
           'available', state.state = 'free' and place.permitted,
           'quarantine', g.row->'quarantine',
           'memory_used_mb', use.live->'memory_used_mb',
           'utilization_percent', use.live->'utilization_percent',
           'foreign_pids', use.live->'foreign_pids') as row
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

-- A node with what it last said; a node that was never heard is offline.
create view rm.node_status as
  select n.key, n.environment_id,
         n.row || jsonb_build_object(
           'last_seen_at', coalesce(r.row->'last_seen_at', n.row->'last_seen_at'),
           'heartbeat_at', r.row->'heartbeat_at',
           'answer_ms', r.row->'answer_ms') as row
    from rm.nodes n
    left join rm.node_reports r on r.key = n.key;

-- A model with how many instances it has.
create view rm.model_status as
  select m.key, m.environment_id, m.row || jsonb_build_object('instances', i.counts) as row
    from rm.models m
    cross join lateral (
      select jsonb_build_object(
               'requested', count(*) filter (where state = 'requested'),
               'ready', count(*) filter (where state = 'ready'),
               'stopping', count(*) filter (where state = 'stopping')) as counts
        from rm.instances
       where model_id = m.key and state in ('requested', 'ready', 'stopping')) i;

-- A queue as a reader wants it: its address' name, its newest sample, and the mean of the five
-- minutes up to that sample.
create view rm.queue_status as
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
      select round(avg(h.length), 3) as length from rm.queue_history h
       where h.key = m.key and h.at > s.at - interval '5 minutes') mean on true;

grant select on all tables in schema rm to qm_query;
grant select, insert, update, delete on all tables in schema rm to qm_projector;

-- Statements about now. A read of the past (`as_of`) is the same statement with every model, status
-- and log in it read through the function that gives its past: rm.nodes becomes rm.nodes_at($as_of),
-- rm.node_status becomes rm.node_status_at($as_of, $moment), and of a queue $kept samples are looked
-- at. Where the past has another form, a statement stands beside it under its name and `_then`.

-- name: page
-- One page of a list: $1 items after the cursor $2 and one more if there is one, each with the
-- position the page holds for; a page of nothing is one row without an item. The array is made of
-- them elsewhere: here that would cost half as much again as reading them. As bytes, the driver hands
-- them over as they are.
select {position} as position, found.sort::text as sort,
       convert_to(found.item::text, 'UTF8') as item
  from (select) as always left join ({select}) as found on true;

-- name: one
-- One thing, with the position it holds for.
select {position} as position,
       (select item from ({select}) as found)::json as content;

-- name: checkpoint
-- How far the read models are.
select position from rm.checkpoints where name = 'rm';

-- name: environments
-- All environments.
select key as sort, row as item
  from rm.environments
 where key > coalesce($2, '')
 order by key limit $1 + 1;

-- name: environment
-- One environment.
select row as item from rm.environments where key = $1;

-- name: models
-- Models, of one environment if named.
select key as sort, row as item
  from rm.model_status
 where key > coalesce($2, '') and ($3::text is null or environment_id = $3)
 order by key limit $1 + 1;

-- name: model
-- One model.
select row as item from rm.model_status where key = $1;

-- name: nodes
-- Nodes, of one environment if named: a page of keys first, so that no more is put together.
select n.key as sort, n.row as item
  from (select key
          from rm.nodes
         where key > coalesce($2, '') and ($3::text is null or environment_id = $3)
         order by key limit $1 + 1) page
 cross join lateral (select key, row from rm.node_status where key = page.key offset 0) n
 order by page.key;

-- name: nodes_then
-- Nodes as they were, of one environment if named.
select key as sort, row as item
  from rm.node_status_at($as_of, $moment)
 where key > coalesce($2, '') and ($3::text is null or environment_id = $3)
 order by key limit $1 + 1;

-- name: node
-- One node, its GPUs, and what its agent last said runs there.
select n.row || jsonb_build_object(
         'gpus', (select coalesce(jsonb_agg(g.row order by g.row->'index', g.key), '[]')
                    from rm.gpu_status g where g.node_id = n.key),
         'reported_instances', coalesce(r.row->'instances', '[]')) as item
  from rm.node_status n
  left join rm.node_reports r on r.key = n.key
 where n.key = $1;

-- name: node_then
-- One node as it was, its GPUs, and what its agent had last said runs there.
select n.row || jsonb_build_object(
         'gpus', (select coalesce(jsonb_agg(
                           rm.gpu_then(rm.gpu_state_then(g.key, g.row, n.row),
                                       rm.gpu_permitted_then(g.row, n.row), n.environment_id,
                                       g.row, n.report->'gpus'->g.key)
                           order by g.row->'index', g.key), '[]')
                    from rm.gpus_at($as_of) g where g.node_id = n.key),
         'reported_instances', coalesce(n.report->'instances', '[]')) as item
  from rm.node_status_at($as_of, $moment) n
 where n.key = $1;

-- name: gpus
-- GPUs, of one node, of one environment, in one state.
select key as sort, row as item
  from rm.gpu_status
 where key > coalesce($2, '')
   and ($3::text is null or node_id = $3)
   and ($4::text is null or environment_id = $4)
   and ($5::text is null or state = $5)
 order by key limit $1 + 1;

-- name: gpu
-- One GPU.
select row as item from rm.gpu_status where key = $1;

-- name: instances
-- Instances, of one model, on one node, in one state, or all that have not ended.
select key as sort, row as item
  from rm.instances
 where key > coalesce($2, '')
   and ($3::text is null or model_id = $3)
   and ($4::text is null or node_id = $4)
   and ($5::text is null or state = $5)
   and ($6::boolean is not true or state in ('requested', 'ready', 'stopping'))
   and ($6::boolean is not false or state not in ('requested', 'ready', 'stopping'))
 order by key limit $1 + 1;

-- name: instances_then
-- Instances as they were. They stay for ever, so each half is asked for no more than a page.
select key as sort, row as item
  from ((select key, row
           from rm.instances
          where key > coalesce($2, '') and position <= $as_of
            and ($3::text is null or model_id = $3)
            and ($4::text is null or node_id = $4)
            and ($5::text is null or state = $5)
            and ($6::boolean is not true or state in ('requested', 'ready', 'stopping'))
            and ($6::boolean is not false or state not in ('requested', 'ready', 'stopping'))
          order by key limit $1 + 1)
         union all
        (select key, row
           from rm.instances_history
          where key > coalesce($2, '')
            and rm.fork(from_position, to_position) = any(rm.forks($as_of))
            and from_position <= $as_of and to_position > $as_of
            and ($3::text is null or (row->>'model_id') collate "C" = $3)
            and ($4::text is null or row->>'node_id' = $4)
            and ($5::text is null or row->>'state' = $5)
            and ($6::boolean is null
                 or $6 = (row->>'state' in ('requested', 'ready', 'stopping')))
          order by key limit $1 + 1)) instances
 order by key limit $1 + 1;

-- name: instance
-- One instance.
select row as item from rm.instances where key = $1;

-- name: queues
-- The queue of every model, of one environment if named.
select key as sort, row as item
  from rm.queue_status
 where key > coalesce($2, '') and ($3::text is null or environment_id = $3)
 order by key limit $1 + 1;

-- name: queue
-- The queue of one model.
select row as item from rm.queue_status where key = $1;

-- name: queue_history
-- A queue's samples, the newest first; as many as are kept of a queue, $4, and not more.
select position as sort, row || jsonb_build_object('position', position) as item
  from (select position, row
          from rm.queue_history
         where key = $3
         order by position desc limit $4) newest
 where position < coalesce($2::text::bigint, 9223372036854775807)
 order by position desc limit $1 + 1;

-- name: queue_history_then
-- A queue's samples as they were kept then, as far as they are still in the log.
select position as sort, row || jsonb_build_object('position', position) as item
  from rm.samples_at($as_of, $moment, $3, $4)
 where position < coalesce($2::text::bigint, 9223372036854775807)
 order by position desc limit $1 + 1;

-- name: deployments
-- Every node, its GPUs, and what runs on each; put together as text, since whatever jsonb is put
-- into is copied whole.
select n.key as sort,
       rm.with_member(n.row - 'gpus', 'gpus', '[' || coalesce((
         select string_agg(rm.with_member(g.row, 'instance', coalesce(i.row::text, 'null')), ','
                           order by g.index, g.key)
           from rm.gpu_status g
           left join rm.instances i on i.key = g.instance_id
          where g.node_id = n.key), '') || ']')::json as item
  from (select key
          from rm.nodes
         where key > coalesce($2, '') and ($3::text is null or environment_id = $3)
         order by key limit $1 + 1) page
 cross join lateral (select key, row from rm.node_status where key = page.key offset 0) n
 order by page.key;

-- name: deployments_then
-- Every node there was, its GPUs, and what ran on each.
select n.key as sort,
       rm.with_member(n.row - 'gpus', 'gpus', '[' || coalesce((
         select string_agg(
                  rm.with_member(
                    rm.gpu_then(g.state, g.permitted, n.environment_id, g.row,
                                n.report->'gpus'->g.key),
                    'instance', coalesce(i.row::text, 'null')), ','
                  order by g.row->'index', g.key)
           from (select g.key, g.row, rm.gpu_state_then(g.key, g.row, n.row) as state,
                        rm.gpu_permitted_then(g.row, n.row) as permitted
                   from rm.gpus_at($as_of) g
                  where g.node_id = n.key offset 0) g
           left join lateral rm.instances_at($as_of, g.row->>'instance_id') i on true),
         '') || ']')::json as item
  from (select key, environment_id, row, report
          from rm.node_status_at($as_of, $moment)
         where key > coalesce($2, '') and ($3::text is null or environment_id = $3)
         order by key limit $1 + 1) n
 order by n.key;

-- name: strategies
-- All strategies; their `order` is the one they are applied in.
select key as sort, row as item
  from rm.strategies
 where key > coalesce($2, '')
 order by key limit $1 + 1;

-- name: strategy
-- One strategy.
select row as item from rm.strategies where key = $1;

-- name: alerts
-- Alerts, open ones or closed ones if asked for.
select key as sort, row as item
  from rm.alerts
 where key > coalesce($2, '') and ($3::boolean is null or open = $3)
 order by key limit $1 + 1;

-- name: alert
-- One alert.
select row as item from rm.alerts where key = $1;

-- name: decisions
-- What was decided, the oldest first, about one model if named.
select position as sort, row as item
  from rm.decisions
 where position > greatest(coalesce($2::text::bigint, 0), $3::bigint)
   and ($4::text is null or key = $4)
 order by position limit $1 + 1;

-- name: latest_decisions
-- What was decided, the newest first, about one model if named.
select position as sort, row as item
  from rm.decisions
 where position < coalesce($2::text::bigint, 9223372036854775807)
   and position > $3
   and ($4::text is null or key = $4)
 order by position desc limit $1 + 1;

-- name: webhooks
-- Where alerts go.
select key as sort, row as item
  from rm.webhooks
 where key > coalesce($2, '')
 order by key limit $1 + 1;

-- name: webhook
-- One webhook.
select row as item from rm.webhooks where key = $1;

-- name: deliveries
-- Every attempt to deliver to a webhook, the newest first, with the message; of one, if named. What
-- the message was is said by the event that it tells of, or by who asked for it again.
select f.position as sort,
       jsonb_build_object(
         'position', f.position, 'at', rm.moment(f.recorded_at),
         'message_id', said.data->'message_id', 'alert_id', said.data->'alert_id',
         'attempt', said.data->'attempt',
         'state', case when f.type = 'alert.delivered' then 'delivered'
                       when said.data->'gives_up' = 'true' then 'given_up' else 'failing' end,
         'status_code', said.data->'status_code', 'error', said.data->'error',
         'asked', case c.type when 'webhook.test_asked' then 'test'
                              when 'webhook.resend_asked' then 'again' end,
         'message', jsonb_build_object(
           'message_id', said.data->'message_id', 'alert_id', said.data->'alert_id',
           'message_type', case c.type when 'webhook.test_asked' then 'alert.test'
             when 'webhook.resend_asked' then cause.data->>'message_type' else c.type end,
           'subject', coalesce(cause.data->'subject', cause.data->'webhook_id'),
           'at', coalesce(cause.data->>'at', rm.moment(c.recorded_at)),
           'data', coalesce(cause.data->'data', cause.data))) as item
  from rm.history h
  join log.facts f on f.position = h.position
 cross join lateral (select rm.stored(f.data) as data) said
  left join log.facts c on c.event_id = rm.event_id(f.meta->>'causation_id')
  left join lateral (select rm.stored(c.data) as data) cause on true
 where h.key in ('webhook/' || $3::text || ' alert.delivered',
                 'webhook/' || $3::text || ' alert.delivery_failed')
   and h.position < coalesce($2::text::bigint, 9223372036854775807)
   and ($4::text is null or said.data->>'message_id' = $4)
 order by h.position desc limit $1 + 1;

-- name: name
-- Whose a unique name is; a released one has nobody, and the version to claim it at.
select row as item from rm.names where key = $1;

-- name: ask
-- A start asked for by hand, and the state of what came of it.
select a.row || jsonb_build_object('instance_state', i.row->'state') as item
  from rm.asks a
  left join rm.instances i on i.key = a.row->>'instance_id'
 where a.key = $1;

-- name: events
-- The log itself, of some types if named.
select position as sort, json_build_object(
         'position', position, 'event_id', event_id, 'stream', stream, 'version', version,
         'type', type, 'schema_version', schema_version, 'data', data, 'meta', meta,
         'recorded_at', to_char(recorded_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) as item
  from log.all_events
 where position > greatest(coalesce($2::text::bigint, 0), $3::bigint)
   and ($4::text[] is null or type = any($4))
 order by position limit $1 + 1;

-- name: fact_events
-- The same of types that are facts alone: telemetry, ten times as much, is not looked at for them.
select position as sort, json_build_object(
         'position', position, 'event_id', event_id, 'stream', stream, 'version', version,
         'type', type, 'schema_version', schema_version, 'data', data, 'meta', meta,
         'recorded_at', to_char(recorded_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) as item
  from log.facts
 where position > greatest(coalesce($2::text::bigint, 0), $3::bigint)
   and type = any($4::text[])
 order by position limit $1 + 1;

-- name: telemetry_events
-- The same of types that are telemetry alone.
select position as sort, json_build_object(
         'position', position, 'event_id', event_id, 'stream', stream, 'version', version,
         'type', type, 'schema_version', schema_version, 'data', data, 'meta', meta,
         'recorded_at', to_char(recorded_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) as item
  from log.telemetry
 where position > greatest(coalesce($2::text::bigint, 0), $3::bigint)
   and type = any($4::text[])
 order by position limit $1 + 1;

-- name: events_of_stream
-- One stream of the log; only telemetry's streams make it look through telemetry. Ordered by moment
-- and position, which is by position, as the index on telemetry's streams has them; each part ends
-- where the page does, else a day of samples was sorted for fifty of them.
select position as sort, json_build_object(
         'position', position, 'event_id', event_id, 'stream', stream, 'version', version,
         'type', type, 'schema_version', schema_version, 'data', data, 'meta', meta,
         'recorded_at', to_char(recorded_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) as item
  from ((select position, event_id, stream, version, type, schema_version, data, meta, recorded_at
           from log.facts
          where stream = $5
            and position > greatest(coalesce($2::text::bigint, 0), $3::bigint)
            and ($4::text[] is null or type = any($4))
          order by recorded_at, position limit $1 + 1)
         union all
        (select position, event_id, stream, version, type, schema_version, data, meta, recorded_at
           from log.telemetry
          where stream = $5
            and position > greatest(coalesce($2::text::bigint, 0), $3::bigint)
            and recorded_at >= (select coalesce(log.moment_at(
                  greatest(coalesce($2::text::bigint, 0), $3::bigint)), '-infinity'))
            and exists (select 1 from log.telemetry_heads h where h.stream = $5)
            and ($4::text[] is null or type = any($4))
          order by recorded_at, position limit $1 + 1)) as events
 order by recorded_at, position limit $1 + 1;

-- name: status
-- The log's head, how far each read model is behind it, and who leads.
select json_build_object(
         'head', log.head(),
         'lag', log.head() - (select position from rm.checkpoints where name = 'rm'),
         'checkpoints', (
           select json_agg(json_build_object(
                    'name', name, 'position', position, 'event_id', event_id,
                    'updated_at', to_char(updated_at, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
                    order by name)
             from rm.checkpoints),
         'leases', (select coalesce(json_agg(row order by key), '[]') from rm.leases)) as item;

-- name: status_then
-- Where the log was and who led; how far read models were behind it is not kept.
select json_build_object(
         'head', $as_of::bigint,
         'lag', null,
         'checkpoints', json_build_array(),
         'leases', (select coalesce(json_agg(row order by key), '[]')
                      from rm.leases_at($as_of))) as item;

-- name: rebuild
-- One rebuild: the order as the log has it, and what came of it so far. The log's and not the read
-- model's order, which may be what is to be mended.
select rm.rebuild_status(b, asked.id, f.position, f.data, f.meta->>'actor', f.recorded_at) as item
  from (select $1::text as id) asked
  left join rm.builds b on b.build_id = asked.id
  left join log.facts f on f.stream = 'rebuild/' || asked.id and f.type = 'rebuild.asked'
 where b.build is not null or f.position is not null;

-- name: rebuilds
-- The latest rebuilds, newest first, and before them the orders that wait.
select json_agg(found.item order by found.build desc, found.position desc) as item
  from (select rm.rebuild_status(b, coalesce(b.build_id, o.key), o.position, o.row::json,
                                 o.row->>'actor', (o.row->>'asked_at')::timestamptz) as item,
               coalesce(b.build, 9223372036854775807) as build, o.position
          from rm.builds b full join rm.rebuilds o on o.key = b.build_id
         order by 2 desc, 3 desc
         limit 50) found;

-- name: then_of_position
-- When a position was recorded, and what is needed to tell whether it can be asked for.
select p.position, log.moment_at(p.position) as recorded_at, log.head() as head,
       coalesce((select max(last_position) from log.seals), 0) as dropped
  from (select $1::bigint as position) p;

-- name: then_of_moment
-- The last position recorded by a moment, and what is needed to tell whether it can be asked for.
select p.position, log.moment_at(p.position) as recorded_at, log.head() as head,
       coalesce((select max(last_position) from log.seals), 0) as dropped, clock_timestamp() as now
  from log.position_at($1) as p(position);

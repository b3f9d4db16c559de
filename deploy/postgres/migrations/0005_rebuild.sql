-- Rebuilding read models: new versions of their tables beside the live ones, filled from history,
-- and swapped in by renaming while everybody goes on reading.
--
-- A model's table is rm.<model>, with rm.<model>_history where it has one. A build makes
-- rm.<model>__<build> like it, and when that stands where the live ones stand they change names:
-- what was live is rm.<model>__<its own build> until it is dropped. Views know tables by their
-- identity, so that they are made again in the same transaction; functions with bodies of text and
-- the statements of the services find the tables by name.
-- The projector owns no table: it asks these functions, which do this and nothing else.

-- How each live model was made: by which build, of which source, at or after which position.
create table rm.versions (
  model        text collate "C" primary key,
  build        bigint not null default 0,
  fingerprint  text not null,
  since        bigint not null,
  made_at      timestamptz not null default clock_timestamp()
);
-- What is there already was made by nobody knows which source, so that it is made again once.
insert into rm.versions (model, fingerprint, since)
select c.relname, 'unknown', 0
  from pg_class c
 where c.relnamespace = 'rm'::regnamespace and c.relkind = 'r'
   and c.relname not in ('checkpoints', 'versions')
   and (c.relname = 'queue_history' or c.relname not like '%\_history');

-- Every build, its checkpoint, and how far it is. An order is a fact of the log (rm.rebuilds);
-- this is what came of it.
create table rm.builds (
  build         bigint generated always as identity primary key,
  build_id      text collate "C" not null unique,
  because       text collate "C" not null check (because in ('asked', 'changed', 'rewound')),
  models        text[] not null,
  fingerprints  text[] not null,
  state         text collate "C" not null check (state in
                  ('building', 'indexing', 'comparing', 'swapping', 'done', 'failed')),
  position      bigint not null default 0,
  event_id      uuid,
  since         bigint not null,
  target        bigint not null,
  events_per_s  real,
  differences   jsonb not null default '[]',
  problem       text,
  started_at    timestamptz not null default clock_timestamp(),
  updated_at    timestamptz not null default clock_timestamp(),
  finished_at   timestamptz
) with (fillfactor = 50);
create index on rm.builds (build) where finished_at is null;

-- Tables that were live, until they are dropped; what differed from its successor is evidence, and
-- stays until the model is made once more.
create table rm.replaced (
  name         text collate "C" primary key,
  model        text collate "C" not null,
  is_evidence  boolean not null,
  replaced_at  timestamptz not null default now()  -- one for all of a swap
);

-- Orders to rebuild, as the log has them.
create table rm.rebuilds (
  key       text collate "C" primary key,
  position  bigint not null,
  row       jsonb not null
) with (fillfactor = 80);

-- The live tables of a model, and what each holds.
create function rm.tables_of(wanted text) returns table (name text, holds text)
language sql stable as $$
  select c.relname::text,
         case when exists (select from pg_attribute a
                            where a.attrelid = c.oid and a.attname = 'to_position') then 'history'
              when exists (select from pg_attribute a
                            where a.attrelid = c.oid and a.attname = 'at') then 'series'
              else 'rows' end
    from pg_class c
   where c.relnamespace = 'rm'::regnamespace and c.relkind = 'r'
     and c.relname in (wanted, wanted || '_history')
   order by 1
$$;

-- Begin a build: its tables are empty, and those that are only appended to have no index yet.
create function rm.begin_build(
  p_id text, p_because text, p_models text[], p_fingerprints text[])
returns bigint
language plpgsql security definer set search_path = rm, pg_temp as $$
declare
  made    bigint;
  model   text;
  old     record;
  new     text;
  granted record;
begin
  insert into rm.builds (build_id, because, models, fingerprints, state, since, target)
  values (p_id, p_because, p_models, p_fingerprints, 'building', log.head(), log.head())
  returning build into made;
  foreach model in array p_models loop
    if not exists (select from rm.tables_of(model) t where t.name = model) then
      raise exception 'there is no read model %', model using errcode = 'QM404';
    end if;
    for old in select * from rm.tables_of(model) loop
      new := old.name || '__' || made;
      execute format('create table rm.%I (like rm.%I including all %s)', new, old.name,
                     case old.holds when 'rows' then '' else 'excluding indexes' end);
      if old.holds = 'rows' then
        execute format('alter table rm.%I set (fillfactor = 80)', new);
      end if;
      for granted in
        select a.grantee::regrole as grantee, string_agg(a.privilege_type, ', ') as privileges
          from pg_class c, aclexplode(c.relacl) a
         where c.oid = format('rm.%I', old.name)::regclass and a.grantee not in (0, c.relowner)
         group by a.grantee
      loop
        execute format('grant %s on rm.%I to %s', granted.privileges, new, granted.grantee);
      end loop;
    end loop;
  end loop;
  return made;
end $$;

-- Make the indexes that a build's tables were begun without, and let the planner know them.
create function rm.index_build(p_build bigint) returns void
language plpgsql security definer set search_path = rm, pg_temp
set maintenance_work_mem = '128MB' as $$
declare
  t     record;
  new   text;
  index record;
begin
  for t in select live.* from rm.builds b, unnest(b.models) as model, rm.tables_of(model) as live
            where b.build = p_build loop
    new := t.name || '__' || p_build;
    if not exists (select from pg_index where indrelid = format('rm.%I', new)::regclass) then
      for index in
        select i.indexrelid, k.oid as key
          from pg_index i left join pg_constraint k on k.conindid = i.indexrelid
         where i.indrelid = format('rm.%I', t.name)::regclass
      loop
        if index.key is not null then
          execute format('alter table rm.%I add %s', new, pg_get_constraintdef(index.key));
        else
          execute regexp_replace(
            pg_get_indexdef(index.indexrelid), '^CREATE (UNIQUE )?INDEX \S+ ON \S+ ',
            format('create \1index on rm.%I ', new));
        end if;
      end loop;
    end if;
    execute format('analyze rm.%I', new);
  end loop;
end $$;

-- How a build differs from the live tables, byte for byte: how many rows of each table, and some
-- of their keys. One snapshot: both must stand at the same position in it.
-- p_sealed: what telemetry said up to there is gone; rows that it alone made are not compared.
create function rm.differences(p_build bigint, p_models text[], p_trimmed text[], p_sealed bigint)
returns table (name text, rows bigint, keys text[])
language plpgsql stable set search_path = rm, pg_temp as $$
declare
  t     record;
  field text;
  stood bigint := (select b.position from rm.builds b where b.build = p_build);
begin
  if stood <> (select c.position from rm.checkpoints c where c.name = 'rm') then
    raise exception 'build % stands at %, not where the live ones do', p_build, stood
      using errcode = 'QM409';
  end if;
  for t in select m.model, live.* from unnest(p_models) as m(model), rm.tables_of(m.model) as live
  loop
    field := case t.holds when 'history' then 'to_position' else 'position' end;
    return query execute format($sql$
      select %1$L::text, count(*), (array_agg(found.key order by found.key))[:5]
        from (select key
                from (select key, %2$I, t from rm.%1$I t where %4$s) l
                full join (select key, %2$I, t from rm.%3$I t where %4$s) n using (key%5$s)
               where (l.t *= n.t) is not true) found
      having count(*) > 0 $sql$,
      t.name, field, t.name || '__' || p_build,
      case when t.model = any(p_trimmed) then format(
        't.position >= greatest($1 + 1, (select min(o.position) from rm.%I o where o.key = t.key),
           (select min(o.position) from rm.%I o where o.key = t.key))',
        t.name, t.name || '__' || p_build) else '$1 is not null' end,
      case t.holds when 'rows' then '' else ', ' || field end)
      using p_sealed;
  end loop;
end $$;

-- Take over from a live model what only telemetry could tell that is gone from the log.
create function rm.carry_over(p_build bigint, p_model text, p_sealed bigint) returns void
language plpgsql set search_path = rm, pg_temp as $$
declare
  columns text := (select string_agg(quote_ident(a.attname), ', ' order by a.attnum)
                     from pg_attribute a
                    where a.attrelid = format('rm.%I', p_model)::regclass
                      and a.attnum > 0 and not a.attisdropped and a.attgenerated = '');
begin
  execute format('insert into rm.%1$I (%2$s) select %2$s from rm.%3$I where position <= $1
                  on conflict do nothing', p_model || '__' || p_build, columns, p_model)
    using p_sealed;
end $$;

-- The definitions of all views on some tables, to be made again when those have other names.
create function rm.views_on(p_tables text[]) returns table (name text, definition text)
language sql stable as $$
  select distinct v.relname::text, pg_get_viewdef(v.oid)
    from pg_class t
    join pg_depend d on d.refclassid = 'pg_class'::regclass and d.refobjid = t.oid
                    and d.classid = 'pg_rewrite'::regclass
    join pg_rewrite r on r.oid = d.objid
    join pg_class v on v.oid = r.ev_class and v.relkind = 'v'
   where t.relnamespace = 'rm'::regnamespace and t.relname = any(p_tables)
     and v.relnamespace = 'rm'::regnamespace
   order by 1
$$;

-- Make views again, over the tables that bear the names now.
create function rm.make_views(p_names text[], p_definitions text[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp as $$
declare
  n int;
begin
  for n in 1 .. coalesce(cardinality(p_names), 0) loop
    execute format('create or replace view rm.%I as %s', p_names[n], p_definitions[n]);
  end loop;
end $$;
revoke execute on function rm.make_views(text[], text[]) from public;

-- Make a build's tables the live ones. Whoever reads is waited for shortly: the caller tries again.
-- p_evidence: models whose old tables are kept to be looked at.
-- p_rewound: the live tables are of another log: their checkpoint goes where the build stands.
create function rm.swap_in(p_build bigint, p_evidence text[], p_rewound boolean) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms' as $$
declare
  made    rm.builds := (select b from rm.builds b where b.build = p_build for update);
  stands  bigint := (select c.position from rm.checkpoints c where c.name = 'rm' for update);
  live    text[];
  names   text[];
  defined text[];
  t       record;
begin
  if made.state <> 'swapping' or (made.position <> stands and not p_rewound) then
    raise exception 'build % is % at %, and the live ones stand at %',
      p_build, made.state, made.position, stands using errcode = 'QM409';
  end if;
  select array_agg(o.name) into live
    from unnest(made.models) as model, rm.tables_of(model) as o;
  select array_agg(v.name), array_agg(v.definition) into names, defined from rm.views_on(live) v;
  for t in select unnest(names || live) as name loop  -- views first, as those who read lock them
    execute format('lock table rm.%I in access exclusive mode', t.name);
  end loop;
  for t in
    select o.name, model, coalesce(v.build, 0) as build
      from unnest(made.models) as model
      left join rm.versions v using (model), rm.tables_of(model) as o
  loop
    execute format('alter table rm.%I rename to %I', t.name, t.name || '__' || t.build);
    execute format('alter table rm.%I rename to %I', t.name || '__' || p_build, t.name);
    insert into rm.replaced (name, model, is_evidence)
    values (t.name || '__' || t.build, t.model, t.model = any(p_evidence));
  end loop;
  perform rm.make_views(names, defined);
  insert into rm.versions (model, build, fingerprint, since)
  select m.model, p_build, m.fingerprint, made.since
    from unnest(made.models, made.fingerprints) as m(model, fingerprint)
      on conflict (model) do update
     set build = excluded.build, fingerprint = excluded.fingerprint, since = excluded.since,
         made_at = clock_timestamp();
  if p_rewound then
    update rm.checkpoints
       set position = made.position, event_id = made.event_id, updated_at = clock_timestamp()
     where name = 'rm';
  end if;
  update rm.builds
     set state = 'done', target = made.position, updated_at = clock_timestamp(),
         finished_at = clock_timestamp()
   where build = p_build;
end $$;

-- Give a build up: its tables go, and why is kept.
create function rm.give_up_build(p_build bigint, p_problem text) returns void
language plpgsql security definer set search_path = rm, pg_temp set lock_timeout = '5s' as $$
declare
  t record;
begin
  for t in select o.name from rm.builds b, unnest(b.models) as model, rm.tables_of(model) as o
            where b.build = p_build and b.finished_at is null loop
    execute format('drop table if exists rm.%I', t.name || '__' || p_build);
  end loop;
  update rm.builds
     set state = 'failed', problem = p_problem, finished_at = clock_timestamp(),
         updated_at = clock_timestamp()
   where build = p_build and finished_at is null;
end $$;

-- Drop tables that were replaced long enough ago.
create function rm.drop_replaced(p_grace interval) returns setof text
language plpgsql security definer set search_path = rm, pg_temp set lock_timeout = '1s' as $$
declare
  t record;
begin
  for t in
    delete from rm.replaced r
     where r.replaced_at < clock_timestamp() - p_grace
       and (not r.is_evidence
            or exists (select from rm.replaced later
                        where later.model = r.model and later.replaced_at > r.replaced_at))
    returning r.name
  loop
    execute format('drop table if exists rm.%I', t.name);
    return next t.name;
  end loop;
end $$;

-- What a reader is told of a rebuild; `made` is null while the order waits for the projector.
create function rm.rebuild_status(
  made rm.builds, id text, asked_position bigint, asked json, actor text, asked_at timestamptz)
returns json language sql stable as $$
  select json_build_object(
    'rebuild_id', id,
    'state', coalesce(made.state, 'waiting'),
    'because', coalesce(made.because, 'asked'),
    'models', coalesce(to_json(made.models), asked->'models', '[]'),
    'actor', actor,
    'asked_at', rm.moment(asked_at),
    'asked_position', asked_position,
    'build', made.build,
    'position', coalesce(made.position, 0),
    'target', coalesce(made.target, log.head()),
    'events_per_s', made.events_per_s,
    'differences', coalesce(made.differences, '[]'),
    'problem', made.problem,
    'started_at', rm.moment(made.started_at),
    'updated_at', rm.moment(made.updated_at),
    'finished_at', rm.moment(made.finished_at))
$$;

-- The mean of five minutes reads moments and lengths of one queue, and nothing else of the rows.
-- Tables that are built get it as they get every other index.
create index on rm.queue_history (key, at, position) include (length);

revoke execute on function
  rm.begin_build(text, text, text[], text[]), rm.index_build(bigint),
  rm.swap_in(bigint, text[], boolean), rm.give_up_build(bigint, text), rm.drop_replaced(interval)
  from public;
grant execute on function
  rm.begin_build(text, text, text[], text[]), rm.index_build(bigint),
  rm.swap_in(bigint, text[], boolean), rm.give_up_build(bigint, text), rm.drop_replaced(interval)
  to qm_projector;
grant select on rm.versions, rm.builds, rm.replaced, rm.rebuilds to qm_query, qm_projector;
grant insert, update on rm.versions, rm.builds to qm_projector;
grant insert, update, delete on rm.rebuilds to qm_projector;

-- The event log: facts for ever, telemetry for a window, one dense order of positions over both.
-- The evidence for each choice is in contracts/decisions/0001-the-log.md.

create schema log authorization qm_owner;
grant usage on schema log to qm_journal, qm_projector, qm_query;

create table log.facts (
  position        bigint primary key,
  event_id        uuid not null unique,
  stream          text collate "C" not null,
  version         bigint not null,
  type            text collate "C" not null,
  schema_version  smallint not null,
  data            json not null,
  meta            json not null,
  recorded_at     timestamptz not null,
  hash            bytea not null,
  unique (stream, version)
);

create index facts_by_moment on log.facts using brin (recorded_at);

create table log.telemetry (
  position        bigint not null,
  event_id        uuid not null,
  stream          text collate "C" not null,
  version         bigint not null,
  type            text collate "C" not null,
  schema_version  smallint not null,
  data            json not null,
  meta            json not null,
  recorded_at     timestamptz not null,
  hash            bytea not null,
  primary key (position, recorded_at),
  unique (event_id, recorded_at)
) partition by range (recorded_at);

-- Telemetry streams are short-lived in the log and long-lived in fact: their versions go on
-- after the partition that held their last event is gone.
create table log.telemetry_heads (
  stream   text collate "C" primary key,
  version  bigint not null
) with (fillfactor = 50);

-- What a dropped partition leaves behind.
create table log.seals (
  partition       text primary key,
  first_position  bigint not null,
  last_position   bigint not null,
  events          bigint not null,
  last_hash       bytea not null,
  sealed_at       timestamptz not null default clock_timestamp()
);

create table log.cursors (
  name        text primary key,
  position    bigint not null,
  event_id    uuid,
  updated_at  timestamptz not null default clock_timestamp()
) with (fillfactor = 50);
insert into log.cursors (name, position) values ('publisher', 0);

create view log.all_events as
  select position, event_id, stream, version, type, schema_version, data, meta, recorded_at, hash
    from log.facts
  union all
  select position, event_id, stream, version, type, schema_version, data, meta, recorded_at, hash
    from log.telemetry;

-- Append-only, by trigger as well as by role.
create function log.refuse_change() returns trigger language plpgsql as $$
begin
  raise exception 'the log is append-only: % on %.% is refused', tg_op, tg_table_schema, tg_table_name
    using errcode = 'ES405';
end $$;

create trigger facts_are_kept before update or delete or truncate on log.facts
  for each statement execute function log.refuse_change();
create trigger telemetry_is_kept before update or delete or truncate on log.telemetry
  for each statement execute function log.refuse_change();
create trigger seals_are_kept before update or delete or truncate on log.seals
  for each statement execute function log.refuse_change();

-- One partition a day, named by its day (UTC); made ahead, never at the moment it is needed.
-- Attached rather than created in place: that waits for no reader, and makes none wait.
create function log.make_partition(day date) returns void
language plpgsql security definer set search_path = log, pg_temp set lock_timeout = '2s' as $$
declare
  name text := 'telemetry_' || to_char(day, 'YYYYMMDD');
begin
  perform pg_advisory_xact_lock(7306086854204);  -- two journals begin at the same moment
  if to_regclass('log.' || name) is not null then return; end if;
  execute format('create table log.%I (like log.telemetry including all)', name);
  execute format(
    'create trigger telemetry_is_kept before update or delete or truncate on log.%I
       for each statement execute function log.refuse_change()', name);
  execute format('grant select on log.%I to qm_journal, qm_projector, qm_query', name);
  execute format(
    'alter table log.telemetry attach partition log.%I for values from (%L) to (%L)',
    name, (day::timestamp at time zone 'UTC'), ((day + 1)::timestamp at time zone 'UTC'));
end $$;

-- The newest position over facts, telemetry and seals; 0 in an empty log.
create function log.head() returns bigint language sql stable as $$
  select greatest(
    (select max(position) from log.facts),
    (select max(position) from log.telemetry),
    (select max(last_position) from log.seals), 0)
$$;

-- hash(n) = sha256(hash(n-1) || position || version || recorded_us || digest), the numbers as
-- eight bytes each, highest first; the digest is sha256 over every field that the proposer gave,
-- the texts with their lengths. The journal makes it before the log is locked; `log verify` makes
-- it again from what is stored.
create function log.place(pos bigint, version bigint, recorded_us bigint, digest bytea)
returns bytea language sql immutable as $$
  select int8send(pos) || int8send(version) || int8send(recorded_us) || digest
$$;

create function log.link(state bytea, placed bytea, before bytea) returns bytea
language plpgsql immutable as $$
begin
  return sha256(coalesce(state, before) || placed);
end $$;

-- `before` is the hash the chain goes on from.
create aggregate log.chain(placed bytea, before bytea) (sfunc = log.link, stype = bytea);

-- Append proposals, each whole or not at all; one proposal's refusal never harms another's.
--
-- The caller sees to it that within one call (a) no event id comes twice, (b) a stream with an
-- expected version is touched by one proposal only, (c) a lease is not both taken and used, and
-- (d) no stream has both facts and telemetry.
-- Verdicts, one row per event: a appended, d known already (its first position and version),
-- c another version than expected (the current one in `version`), f stale epoch (the current one
-- in `version`), x known event id with other content.
-- p_since: no telemetry id of this call can have been recorded before (UUIDv7 hold their time).
create function log.append(
  p_lease text[], p_epoch bigint[], p_since timestamptz,
  e_proposal int[], e_id uuid[], e_stream text[], e_type text[], e_schema smallint[],
  e_data json[], e_meta json[], e_telemetry boolean[], e_expected bigint[],
  e_digest bytea[])
returns table (verdicts "char"[], positions bigint[], versions bigint[])
language plpgsql security definer
set search_path = log, pg_temp
set enable_seqscan = off
set enable_nestloop = off
set plan_cache_mode = force_generic_plan
set lock_timeout = '2s'
as $$
declare
  base        bigint;
  moment      timestamptz;
  moment_us   bigint;
  fact_hash   bytea;
  tele_hash   bytea;
  all_new     boolean;
begin
  perform pg_advisory_xact_lock(7306086854203);

  -- A statement of its own: its snapshot sees everything the last holder of the lock committed.
  select log.head(), greatest(
           clock_timestamp(),
           (select f.recorded_at from log.facts f order by f.position desc limit 1),
           (select t.recorded_at from log.telemetry t order by t.position desc limit 1)),
         coalesce((select f.hash from log.facts f order by f.position desc limit 1),
                  sha256('facts'))
    into base, moment, fact_hash;
  moment_us := (extract(epoch from moment) * 1000000)::bigint;
  if true = any(e_telemetry) then
    tele_hash := coalesce(
      (select t.hash from log.telemetry t
        where t.recorded_at >= date_trunc('day', moment at time zone 'UTC') at time zone 'UTC'
        order by t.position desc limit 1),
      sha256(convert_to('telemetry_' || to_char(moment at time zone 'UTC', 'YYYYMMDD'), 'UTF8')));
  end if;

  -- The usual case: every id is new, every lease current, every version as expected.
  all_new := not exists (select from log.facts f where f.event_id = any(e_id))
    and not exists (
      select from log.telemetry t where t.event_id = any(e_id) and t.recorded_at >= p_since)
    and not exists (
      select from unnest(p_lease, p_epoch) as l(lease, epoch)
       where l.lease is not null and l.epoch is distinct from coalesce(
               (select f.version from log.facts f where f.stream = 'lease/' || l.lease
                 order by f.version desc limit 1), 0));
  if all_new then
    select array_agg(n.version order by n.ord),
           coalesce(bool_and(n.version = n.expected + 1), true)
      into versions, all_new
      from (select u.ord, u.expected, h.version
                   + row_number() over (partition by u.stream order by u.ord) as version
              from unnest(e_stream, e_expected) with ordinality as u(stream, expected, ord)
              join (select d.stream, coalesce(
                             case when d.telemetry
                               then (select t.version from log.telemetry_heads t
                                      where t.stream = d.stream)
                               else (select f.version from log.facts f where f.stream = d.stream
                                      order by f.version desc limit 1)
                             end, 0) as version
                      from (select distinct s.stream, s.telemetry
                              from unnest(e_stream, e_telemetry) as s(stream, telemetry)) d
                   ) h on h.stream = u.stream) n;
    positions := array(select generate_series(base + 1, base + cardinality(e_id)));
    verdicts := array_fill('a'::"char", array[cardinality(e_id)]);
  end if;
  if not all_new then
    -- Each proposal judged. Whatever sorts or groups works on keys: the wide fields are read once.
    with known as materialized (
      select e.ord, k.position, k.version, k.recorded_at,
             k.stream = e.stream and k.type = e.type and k.schema_version = e.schema_version
               and k.data::text = e_data[e.ord]::text as same
        from unnest(e_id, e_stream, e_type, e_schema, e_telemetry) with ordinality
               as e(id, stream, type, schema_version, telemetry, ord)
        cross join lateral (
          (select f.* from log.facts f where not e.telemetry and f.event_id = e.id limit 1)
          union all
          (select t.* from log.telemetry t
            where e.telemetry and t.event_id = e.id and t.recorded_at >= p_since limit 1)
        ) k
    ),
    heads as materialized (
      select s.stream, coalesce(
               case when s.telemetry
                 then (select h.version from log.telemetry_heads h where h.stream = s.stream)
                 else (select f.version from log.facts f where f.stream = s.stream
                        order by f.version desc limit 1)
               end, 0) as version
        from (select distinct u.stream, u.telemetry
                from unnest(e_stream, e_telemetry) as u(stream, telemetry)) s
    ),
    placed as materialized (
      select u.ord, u.proposal, u.stream, u.expected, heads.version as head,
             row_number() over (partition by u.stream, u.proposal order by u.ord) - 1 as before_it
        from unnest(e_proposal, e_stream, e_expected)
               with ordinality as u(proposal, stream, expected, ord)
        join heads on heads.stream = u.stream
    ),
    leases as materialized (
      select l.n::int as proposal, l.epoch, coalesce(
               (select f.version from log.facts f where f.stream = 'lease/' || l.lease
                 order by f.version desc limit 1), 0) as current
        from unnest(p_lease, p_epoch) with ordinality as l(lease, epoch, n)
       where l.lease is not null
    ),
    verdict as materialized (
      select p.proposal,
             case
               when count(k.ord) = count(*) and bool_and(k.same) then 'd'
               when count(k.ord) > 0 then 'x'
               when bool_or(l.current is distinct from l.epoch and l.proposal is not null) then 'f'
               when bool_or(p.expected is not null and p.expected <> p.head + p.before_it) then 'c'
               else 'a'
             end::"char" as verdict,
             max(l.current) as current_epoch
        from placed p
        left join known k on k.ord = p.ord
        left join leases l on l.proposal = p.proposal
       group by p.proposal
    ),
    accepted as materialized (
      select p.ord, base + row_number() over (order by p.ord) as position,
             p.head + row_number() over (partition by p.stream order by p.ord) as version
        from placed p join verdict v on v.proposal = p.proposal and v.verdict = 'a'
    )
    select array_agg(v.verdict order by p.ord),
           array_agg(case v.verdict when 'a' then a.position when 'd' then k.position end
                     order by p.ord),
           array_agg(case v.verdict when 'a' then a.version when 'd' then k.version
                       when 'f' then v.current_epoch else p.head end order by p.ord)
      into verdicts, positions, versions
      from placed p
      join verdict v on v.proposal = p.proposal
      left join accepted a on a.ord = p.ord
      left join known k on k.ord = p.ord;
  end if;

  insert into log.facts
  select n.position, n.id, n.stream, n.version, n.type, n.schema_version, n.data, n.meta, moment,
         log.chain(log.place(n.position, n.version, moment_us, n.digest), fact_hash)
           over (order by n.position rows unbounded preceding)
    from unnest(positions, e_id, e_stream, versions, e_type, e_schema, e_data, e_meta, e_telemetry,
                verdicts, e_digest)
           as n(position, id, stream, version, type, schema_version, data, meta, telemetry, verdict,
                digest)
   where n.verdict = 'a' and not n.telemetry;

  if true = any(e_telemetry) then
    insert into log.telemetry
    select n.position, n.id, n.stream, n.version, n.type, n.schema_version, n.data, n.meta, moment,
           log.chain(log.place(n.position, n.version, moment_us, n.digest), tele_hash)
             over (order by n.position rows unbounded preceding)
      from unnest(positions, e_id, e_stream, versions, e_type, e_schema, e_data, e_meta,
                  e_telemetry, verdicts, e_digest)
             as n(position, id, stream, version, type, schema_version, data, meta, telemetry,
                  verdict, digest)
     where n.verdict = 'a' and n.telemetry;

    insert into log.telemetry_heads as t
    select n.stream, max(n.version)
      from unnest(e_stream, versions, e_telemetry, verdicts)
             as n(stream, version, telemetry, verdict)
     where n.verdict = 'a' and n.telemetry
     group by n.stream
    on conflict (stream) do update set version = excluded.version;
  end if;

  return next;
end $$;

grant select on log.facts, log.telemetry, log.telemetry_heads, log.seals, log.all_events
  to qm_journal, qm_projector, qm_query;
grant select, update on log.cursors to qm_journal;
grant select on log.cursors to qm_query, qm_projector;
revoke execute on all functions in schema log from public;
grant execute on function log.head() to qm_journal, qm_projector, qm_query;
grant execute on function log.make_partition(date) to qm_journal;
grant execute on function log.append(text[], bigint[], timestamptz, int[], uuid[], text[], text[], smallint[],
  json[], json[], boolean[], bigint[], bytea[]) to qm_journal;

select log.make_partition((now() at time zone 'UTC')::date + n) from generate_series(-1, 7) as n;

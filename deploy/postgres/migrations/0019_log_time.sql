-- The log's time goes on where it was, also when a journal's clock was put back.
-- The append of the release before stays beside it, so that its journal works until it is replaced.

-- Append proposals, each whole or not at all; one proposal's refusal never harms another's.
--
-- The caller sees to it that within one call (a) no event id comes twice, (b) a stream with an
-- expected version is touched by one proposal only, (c) a lease is not both taken and used, and
-- (d) no stream has both facts and telemetry.
-- Verdicts, one row per event: a appended, d known already (its first position and version),
-- c another version than expected (the current one in `version`), f stale epoch (the current one
-- in `version`), x known event id with other content.
-- p_not_before: what the log's time has reached though this clock was put back; may be null.
-- p_since: no telemetry id of this call can have been recorded before (UUIDv7 hold their time).
create function log.append(
  p_lease text[], p_epoch bigint[], p_since timestamptz,
  e_proposal int[], e_id uuid[], e_stream text[], e_type text[], e_schema smallint[],
  e_data json[], e_meta json[], e_telemetry boolean[], e_expected bigint[],
  e_digest bytea[], p_not_before timestamptz)
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
           p_not_before,
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

revoke execute on function log.append(text[], bigint[], timestamptz, int[], uuid[], text[], text[],
  smallint[], json[], json[], boolean[], bigint[], bytea[], timestamptz) from public;
grant execute on function log.append(text[], bigint[], timestamptz, int[], uuid[], text[], text[],
  smallint[], json[], json[], boolean[], bigint[], bytea[], timestamptz) to qm_journal;

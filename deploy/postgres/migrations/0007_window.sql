-- The telemetry window: a day's partition is dropped whole once it is older than the window, and
-- sealed in the same transaction by a recorded fact and a row of log.seals. Positions are never
-- used again: log.head() counts facts, and the fact that seals a partition is behind all of it.

alter table log.seals add column sealed_by bigint not null;  -- position of the fact that says so

-- The days of telemetry that are there, oldest first.
create view log.partitions as
  select c.relname::text as partition,
         to_date(substr(c.relname, 11), 'YYYYMMDD') as day,
         pg_total_relation_size(c.oid) as bytes
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
   where i.inhparent = 'log.telemetry'::regclass
   order by 2;

-- Drop a day of telemetry that a fact seals; `sealing` is its position, null for a day without
-- events. Whoever calls it has just recorded that fact in the same transaction, and so holds the
-- lock of the append. A reader that does not end soon sends it away rather than hold up appends.
create function log.drop_partition(
  name text, first bigint, last bigint, held bigint, hash bytea, sealing bigint) returns void
language plpgsql security definer set search_path = log, pg_temp set lock_timeout = '500ms' as $$
declare
  day  date;
  told json;
  low  bigint;
  high bigint;
begin
  select p.day into day from log.partitions p where p.partition = name;
  if day is null or day >= (clock_timestamp() at time zone 'UTC')::date then
    raise exception '% is no partition of a day that is over', name using errcode = 'ES409';
  end if;
  execute format('lock table log.%I in access exclusive mode', name);
  execute format('select min(position), max(position) from log.%I', name) into low, high;
  if (low, high) is distinct from (first, last) then
    raise exception '% has the positions % to %', name, low, high using errcode = 'ES409';
  end if;
  if low is not null then
    select f.data into told from log.facts f
     where f.position = sealing and f.type = 'log.partition_sealed';
    if told is null or told->>'partition' <> name
       or (told->>'first_position')::bigint <> first or (told->>'last_position')::bigint <> last
       or (told->>'events')::bigint <> held or decode(told->>'last_hash', 'hex') <> hash then
      raise exception 'no fact at % seals %', sealing, name using errcode = 'ES409';
    end if;
    insert into log.seals (partition, first_position, last_position, events, last_hash, sealed_by)
    values (name, first, last, held, hash, sealing);
  end if;
  execute format('drop table log.%I', name);
end $$;

-- Work on the whole log that takes its time. Any journal answers for it, one at a time does it;
-- a worker that has not been heard of for a while is replaced.
create table log.jobs (
  job_id        text collate "C" primary key,
  kind          text collate "C" not null,
  parameters    json not null,
  actor         text not null,
  state         text collate "C" not null default 'waiting'
    check (state in ('waiting', 'running', 'done', 'failed', 'cancelled')),
  worker        text,
  attempts      int not null default 0,
  progress      json not null default '{}',
  result        json,
  problem       text,
  cancel_asked  boolean not null default false,
  asked_at      timestamptz not null default clock_timestamp(),
  started_at    timestamptz,
  beat_at       timestamptz,
  ended_at      timestamptz
) with (fillfactor = 50);
create unique index one_of_a_kind on log.jobs (kind) where state in ('waiting', 'running');
create index on log.jobs (asked_at);

grant select on log.partitions to qm_journal, qm_query;
grant select, insert, update, delete on log.jobs to qm_journal;
revoke execute on function log.drop_partition(text, bigint, bigint, bigint, bytea, bigint) from public;
grant execute on function log.drop_partition(text, bigint, bigint, bigint, bytea, bigint)
  to qm_journal;

-- What stands on a position of the log is compared with it by `quartermaster log verify`.
grant usage on schema rm to qm_journal;
grant select on rm.checkpoints to qm_journal;
-- A backup names the schema that it is of.
grant usage on schema qm to qm_journal;
grant select on qm.migrations to qm_journal;

-- Read models are verified by a build that is compared with the live ones and dropped.
alter table rm.builds
  drop constraint builds_because_check,
  add constraint builds_because_check
    check (because in ('asked', 'changed', 'rewound', 'compared'));

-- End a build that was made to be compared.
create function rm.drop_compared(p_build bigint) returns void
language plpgsql security definer set search_path = rm, pg_temp set lock_timeout = '5s' as $$
declare
  t record;
begin
  for t in select o.name from rm.builds b, unnest(b.models) as model, rm.tables_of(model) as o
            where b.build = p_build and b.because = 'compared' and b.finished_at is null loop
    execute format('drop table if exists rm.%I', t.name || '__' || p_build);
  end loop;
  update rm.builds
     set state = 'done', finished_at = clock_timestamp(), updated_at = clock_timestamp()
   where build = p_build and because = 'compared' and finished_at is null;
end $$;
revoke execute on function rm.drop_compared(bigint) from public;
grant execute on function rm.drop_compared(bigint) to qm_projector;

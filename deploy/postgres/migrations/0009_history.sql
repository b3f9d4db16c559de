-- The history of one entity, and what led to what: two read models that only say where to look.
--
-- rm.history: key `kind/id type`, the position of an event of that type which concerns that entity.
-- rm.causes: key is an event id, the position of an event that it led to.
-- Both are fed by the projector, so that the log's append pays nothing for them; the rows are
-- empty, since the events themselves are one look-up away in the log.

create table rm.history (
  key       text collate "C" not null,
  position  bigint not null,
  at        timestamptz not null,
  row       jsonb not null,
  primary key (key, position)
);

create table rm.causes (
  key       text collate "C" not null,
  position  bigint not null,
  at        timestamptz not null,
  row       jsonb not null,
  primary key (key, position)
);

-- Event ids are compared as what they are; a cause that is no event id was never recorded here.
create function rm.event_id(said text) returns uuid language sql immutable as $$
  select case when said ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then said::uuid end
$$;

grant select on rm.history, rm.causes to qm_query;
grant select, insert, update, delete on rm.history, rm.causes to qm_projector;

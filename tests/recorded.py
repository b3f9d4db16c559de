"""Events as recorded: made from payloads without a journal, put into a real log at will."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson

from contracts.catalogue import TELEMETRY_TYPES
from contracts.envelope import Event, Meta, Recorded
from services.chassis.database import Statements

START = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
META = Meta("ada", "2026-05-04T12:00:00Z", "gateway")

_FACTS = """
insert into log.facts
select position, id, stream, version, type, schema_version, data::json, meta::json, at, 'none'
  from unnest($1::bigint[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::smallint[],
              $7::text[], $8::text[], $9::timestamptz[])
    as t(position, id, stream, version, type, schema_version, data, meta, at)"""
_TELEMETRY = _FACTS.replace("log.facts", "log.telemetry")
_HEADS = """
insert into log.telemetry_heads as t
select * from unnest($1::text[], $2::bigint[])
    on conflict (stream) do update set version = greatest(t.version, excluded.version)"""


def recorded(
    said: Iterable[tuple[str, Event]],
    *,
    after: Sequence[Recorded] = (),
    start: datetime = START,
    step_s: float = 1.0,
) -> list[Recorded]:
    """Return the events as a journal would have recorded them, one every `step_s`."""
    versions: dict[str, int] = defaultdict(int)
    for event in after:
        versions[event.stream] = event.version
    first = len(after) + 1
    events = []
    for position, (stream, event) in enumerate(said, first):
        versions[stream] += 1
        events.append(
            Recorded(
                position=position,
                event_id=str(UUID(int=0x7 << 76 | 0x2 << 62 | position)),
                stream=stream,
                version=versions[stream],
                type=event.type,
                schema_version=event.schema_version,
                data=event.model_dump(mode="json"),
                recorded_at=start + timedelta(seconds=step_s * position),
                meta=META,
            )
        )
    return events


async def put(database: Statements, events: Sequence[Recorded]) -> None:
    """Write events into the log, as its owner may; partitions are made as they are needed."""
    for day in {event.recorded_at.date() for event in events}:
        await database.execute("select log.make_partition($1)", day)
    facts = [event for event in events if event.type not in TELEMETRY_TYPES]
    telemetry = [event for event in events if event.type in TELEMETRY_TYPES]
    for sql, those in ((_FACTS, facts), (_TELEMETRY, telemetry)):
        if those:
            await database.execute(sql, *_columns(those))
    heads = {event.stream: event.version for event in telemetry}
    if heads:
        await database.execute(_HEADS, list(heads), list(heads.values()))


def _columns(events: Sequence[Recorded]) -> list[list[object]]:
    return [
        [event.position for event in events],
        [event.event_id for event in events],
        [event.stream for event in events],
        [event.version for event in events],
        [event.type for event in events],
        [event.schema_version for event in events],
        [orjson.dumps(event.data).decode() for event in events],
        [
            orjson.dumps({name: getattr(event.meta, name) for name in Meta.__slots__}).decode()
            for event in events
        ],
        [event.recorded_at for event in events],
    ]

"""A log of many days, made in memory by a clock of its own and written into a real one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from services.journal.adapters.memory import MemoryLog
from tests.shared.log import command, entry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.chassis.database import Statements

_INSERT = """
insert into log.{table}
select position, id, stream, version, type, schema_version, data::json, meta::json, at, hash
  from unnest($1::bigint[], $2::uuid[], $3::text[], $4::bigint[], $5::text[], $6::smallint[],
              $7::text[], $8::text[], $9::timestamptz[], $10::bytea[])
    as t(position, id, stream, version, type, schema_version, data, meta, at, hash)"""
_HEADS = """
insert into log.telemetry_heads as t select stream, max(version) from log.telemetry group by stream
    on conflict (stream) do update set version = excluded.version"""
_CURSOR = """
update log.cursors set position = $1, event_id = $2::uuid where name = 'publisher'"""


class Past:
    """A clock that stands where it is put."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        return self.moment


async def made(
    days_ago: Sequence[float], *, facts: int = 3, samples: int = 5, streams: int = 2
) -> MemoryLog:
    """Return a log with so many facts and samples on each of these days, oldest first."""
    now = datetime.now(UTC).replace(hour=12)
    log = MemoryLog(Past(now))  # type: ignore[arg-type]
    for ago in days_ago:
        log._clock.moment = now - timedelta(days=ago)
        for number in range(max(facts, samples)):
            if number < facts:
                name = str(number % streams)
                fact = FACT.replace("?", name)
                await log.append([command(entry(f"environment/{name}", data=fact))])
            if number < samples:
                stream = f"queue-samples/{number % streams}"
                sample = entry(stream, type="queue.sampled", telemetry=True, data=SAMPLE)
                await log.append([command(sample)])
    return log


FACT = '{"environment_id":"?","name":"x","description":""}'
SAMPLE = (
    '{"model_id":"m","length":1,"ready":1,"unacknowledged":0,"consumers":0,'
    '"published_total":null,"source":"management"}'
)


async def put(owner: Statements, log: MemoryLog, *, published: bool = True) -> None:
    """Write a log made in memory into an empty real one."""
    for day in {row["recorded_at"].date() for row in log._rows}:
        await owner.execute("select log.make_partition($1)", day)
    for table, is_telemetry in (("facts", False), ("telemetry", True)):
        rows = [row for row in log._rows if (row["telemetry"] is not None) == is_telemetry]
        await owner.execute(_INSERT.format(table=table), *_columns(rows))
    await owner.execute(_HEADS)
    if published:
        last = log._rows[-1]
        await owner.execute(_CURSOR, last["position"], last["event_id"])


def _columns(rows: Sequence[dict]) -> list[list]:
    names = (
        "position", "event_id", "stream", "version", "type", "schema_version", "data", "meta",
        "recorded_at", "hash",
    )  # fmt: skip
    return [
        [row[name].decode() if name in ("data", "meta") else row[name] for row in rows]
        for name in names
    ]

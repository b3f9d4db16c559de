"""The event log, read by position: every position is accounted for, or the reader stops."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from contracts.catalogue import TELEMETRY_TYPES
from contracts.envelope import Meta, Recorded
from services.chassis.database import Queries
from services.chassis.errors import Bug
from services.projector.state import Batch, Checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from services.chassis.database import Record, Statements

_QUERIES = Queries(Path(__file__).parents[1] / "queries.sql")


class LogReader:
    """Reads what some read model folds; of other events only that they are there."""

    def __init__(self, database: Statements, types: frozenset[str], *, service: str) -> None:
        self._database, self._service = database, service
        self._types = sorted(types)
        self._facts = sorted(types - TELEMETRY_TYPES)  # telemetry's `meta` is of no use here

    async def after(self, checkpoint: Checkpoint, limit: int) -> Batch:
        """Return at most `limit` events that follow; raises Bug at a hole and after a rewind."""
        found = await self._database.fetch(
            _QUERIES["events_from"], checkpoint.position, limit + 1, self._types, self._facts
        )
        rows = (await self._checked(found, checkpoint))[:limit]
        marks = [Checkpoint(row["position"], str(row["event_id"])) for row in rows]
        events = [
            _recorded(row, mark.event_id or "")
            for row, mark in zip(rows, marks, strict=True)
            if row["data"] is not None
        ]
        return Batch(events, marks)

    async def skips(self, event: Recorded) -> bool:
        """Tell whether an operator let this event pass."""
        rows = await self._database.fetch(_QUERIES["skips_of"], event.position)
        wanted = (self._service, event.position, event.event_id)
        return any(_skip(orjson.loads(row["data"])) == wanted for row in rows)

    async def head(self) -> int:
        """Return the newest position of the log."""
        return int(await self._database.fetchval(_QUERIES["head"]))

    async def _checked(self, rows: Sequence[Record], checkpoint: Checkpoint) -> Sequence[Record]:
        """Return the rows after the checkpoint, seen to be dense and of the same log as before."""
        last = checkpoint.position
        if rows and rows[0]["position"] == last:
            found = str(rows[0]["event_id"])
            if found != checkpoint.event_id:
                raise _rewound(checkpoint, found)
            rows = rows[1:]
        elif last and not await self._sealed([(last, last)]):
            raise _rewound(checkpoint, None)
        holes = _holes(last, rows)
        if holes and not await self._sealed(holes):
            raise Bug(f"the log has a hole: positions {holes[0][0]} to {holes[0][1]} are missing")
        return rows

    async def _sealed(self, holes: Sequence[tuple[int, int]]) -> bool:
        """Tell whether every hole is made of telemetry that was dropped and sealed."""
        seals = await self._database.fetch(_QUERIES["seals_between"], holes[0][0], holes[-1][1])
        ranges = [(seal["first_position"], seal["last_position"]) for seal in seals]
        return all(_covered(hole, ranges) for hole in holes)


def _holes(last: int, rows: Iterable[Record]) -> list[tuple[int, int]]:
    holes = []
    for row in rows:
        position = row["position"]
        if position != last + 1:
            holes.append((last + 1, position - 1))
        last = position
    return holes


def _covered(hole: tuple[int, int], ranges: Iterable[tuple[int, int]]) -> bool:
    """Tell whether ranges, in order of their beginnings, leave nothing of a hole open."""
    following, last = hole
    for first_sealed, last_sealed in ranges:
        if first_sealed <= following:
            following = max(following, last_sealed + 1)
    return following > last


def _rewound(checkpoint: Checkpoint, found: str | None) -> Bug:
    there = f"event {found}" if found else "nothing"
    return Bug(
        f"the log was restored to an earlier point: position {checkpoint.position} was event "
        f"{checkpoint.event_id} and is {there} now; rebuild the read models",
        position=checkpoint.position,
    )


def _recorded(row: Record, event_id: str) -> Recorded:
    return Recorded(
        position=row["position"],
        event_id=event_id,
        stream=row["stream"],
        version=row["version"],
        type=row["type"],
        schema_version=row["schema_version"],
        data=orjson.loads(row["data"]),
        recorded_at=row["recorded_at"],
        meta=_meta(row["meta"]) if row["meta"] is not None else _NOBODY,
    )


def _meta(raw: bytes) -> Meta:
    said = orjson.loads(raw)
    return Meta(**{name: said.get(name) for name in Meta.__slots__})


def _skip(data: dict[str, Any]) -> tuple[str, int, str]:
    return data["service"], data["position"], data["event_id"]


_NOBODY = Meta("", "", "")

"""The event log, read by position: every position is accounted for, or the reader stops."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from contracts.envelope import Meta, Recorded
from services.chassis.database import Queries
from services.chassis.errors import Bug
from services.projector.state import Batch, Checkpoint, Rewound, Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from services.chassis.database import Record, Statements

_QUERIES = Queries(Path(__file__).parents[1] / "queries.sql")
_NUL = rb"\u0000"


class LogReader:
    """Reads what changes some read model; of other events only that they are there.

    keeps: leave out the entries of series that would be trimmed by now, when so many are kept;
    only for tables that nobody reads before they are caught up.
    """

    def __init__(
        self, database: Statements, wanted: Wanted, *, service: str, keeps: int | None = None
    ) -> None:
        self._database, self._service, self._keeps = database, service, keeps
        self._facts, self._telemetry = sorted(wanted.facts), sorted(wanted.telemetry)
        self._latest, self._kept = sorted(wanted.latest), sorted(wanted.kept)

    async def after(self, checkpoint: Checkpoint, limit: int, until: int | None = None) -> Batch:
        """Return at most `limit` events that follow, at most through `until`.

        Raises Bug at a hole, Rewound after a rewind.
        """
        position = checkpoint.position
        (frame,) = await self._database.fetch(_QUERIES["frame"], position, limit, until)
        await self._check(checkpoint, frame)
        if not frame["count"]:
            return Batch((), 0, checkpoint)
        last = frame["last"]
        rows = await self._database.fetch(
            _QUERIES["events_between"],
            checkpoint.position,
            last,
            self._facts,
            self._telemetry,
            self._latest,
            self._kept,
            self._keeps,
        )
        through = Checkpoint(last, str(frame["last_event_id"]))
        return Batch([_recorded(row) for row in rows], frame["count"], through)

    async def skips(self, event: Recorded) -> bool:
        """Tell whether an operator let this event pass."""
        rows = await self._database.fetch(_QUERIES["skips_of"], event.position)
        wanted = (self._service, event.position, event.event_id)
        return any(_skip(orjson.loads(row["data"])) == wanted for row in rows)

    async def _check(self, checkpoint: Checkpoint, frame: Any) -> None:
        """See that the log is the one we stood on, and that what follows is dense or sealed."""
        here = checkpoint.position
        if here and frame["event_id"] is None:
            if not await self._sealed([(here, here)]):
                raise Rewound(checkpoint, None)
        elif here and str(frame["event_id"]) != checkpoint.event_id:
            raise Rewound(checkpoint, str(frame["event_id"]))
        if frame["count"] and frame["last"] - here != frame["count"]:
            holes = await self._holes(here, frame["last"])
            if not await self._sealed(holes):
                first, last = holes[0]
                raise Bug(f"the log has a hole: positions {first} to {last} are missing")

    async def _holes(self, here: int, last: int) -> list[tuple[int, int]]:
        rows = await self._database.fetch(_QUERIES["positions"], here, last)
        return _holes(here, rows)

    async def _sealed(self, holes: Sequence[tuple[int, int]]) -> bool:
        """Tell whether every hole is made of telemetry that was dropped and sealed."""
        if not holes:  # looked at again, nothing is missing
            return True
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


def _recorded(row: Record) -> Recorded:
    position, event_id, stream, version, type_, schema_version, recorded_at, data, meta = row
    return Recorded(
        position,
        str(event_id),
        stream,
        version,
        type_,
        schema_version,
        _payload(data),
        recorded_at,
        _NOBODY if meta is None else _meta(meta),
    )


def _payload(raw: bytes) -> Any:
    """Return JSON that jsonb can hold again: the character U+0000 becomes U+FFFD."""
    return orjson.loads(raw) if _NUL not in raw else _without_nul(orjson.loads(raw))


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, dict):
        return {_without_nul(name): _without_nul(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_nul(inner) for inner in value]
    return value


def _meta(raw: bytes) -> Meta:
    said = _payload(raw).get
    return Meta(
        said("actor"),
        said("occurred_at"),
        said("proposer"),
        said("causation_id"),
        said("correlation_id"),
        said("trace"),
        said("lease"),
        said("epoch"),
    )


def _skip(data: dict[str, Any]) -> tuple[str, int, str]:
    return data["service"], data["position"], data["event_id"]


_NOBODY = Meta("", "", "")

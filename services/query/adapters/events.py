"""The log as the time machine reads it: pages of one entity's events, and causes both ways."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from contracts.envelope import Meta, Recorded
from services.chassis.database import Queries
from services.chassis.errors import Unavailable
from services.query.decide.asked import LAST, Reach, Where
from services.query.decide.spans import ENDINGS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from services.chassis.database import Record, Statements
    from services.query.adapters.checkpoint import CheckpointWatch
    from services.query.decide.spans import Wanted

_QUERIES = Queries(Path(__file__).parents[1] / "history.sql")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FARTHEST = 5_000  # causes between an event and the first one
_MANY = 10_000  # events of one story, or of the stories of one page


class DatabaseEvents:
    """Answers from the log, and from the read models that say where to look in it."""

    def __init__(self, database: Statements, checkpoint: CheckpointWatch) -> None:
        self._database, self._checkpoint = database, checkpoint

    async def reach(self, position: int) -> None:
        """Return once the read models have folded this position; Unavailable when out of time."""
        await self._checkpoint.reach(position)

    async def where(self, moments: Sequence[datetime]) -> Where:
        """Return how far the read models are, and the last positions at these moments."""
        row = await self._database.fetchrow(_QUERIES["where"], list(moments))
        if row is None or row["position"] is None:
            raise Unavailable("the read models are not there yet")
        return Where(row["position"], tuple(row["at"]))

    async def page(
        self, reaches: Collection[Reach], limit: int, *, newest_first: bool
    ) -> list[Recorded]:
        """Return the newest or the oldest events under these keys, in that order."""
        name = "newest" if newest_first else "oldest"
        keys, lows, highs = zip(*reaches, strict=True) if reaches else ((), (), ())
        return await self._events(name, list(keys), list(lows), list(highs), limit)

    async def known_as(self, kind: str, id_: str) -> Reach | None:
        """Return the node that an instance or a GPU is on, or the name that a strategy has."""
        arguments: tuple[object, ...]
        if kind == "instance":
            sql, arguments = "place_of_instance", (f"instance/{id_}", sorted(ENDINGS))
        elif kind == "gpu":
            sql, arguments = "place_of_gpu", (id_,)
        else:
            sql, arguments = "name_of_strategy", (f"strategy/{id_}",)
        row = await self._database.fetchrow(_QUERIES[sql], *arguments)
        if row is None or row["low"] is None:
            return None
        return Reach(row["name"], row["low"], row["high"] or LAST)

    async def rest(self, wanted: Wanted, position: int) -> list[Recorded]:
        """Return what else belongs to the stories of a page, up to a position."""
        found: list[Recorded] = []
        if wanted.streams:
            streams, keys = list(wanted.streams), list(wanted.keys)
            found += await self._events("streams", streams, keys, position, _MANY)
        if wanted.edges:
            names, opens, closes, firsts, lasts = zip(*wanted.edges, strict=True)
            found += await self._events(
                "edges",
                list(names),
                [",".join(sorted(types)) for types in opens],
                [",".join(sorted(types)) for types in closes],
                list(firsts),
                list(lasts),
                position,
                _MANY,
            )
        return found

    async def by_id(self, event_ids: Collection[str]) -> dict[str, Recorded]:
        """Return events by their ids, those that the log has."""
        ids = [each for each in event_ids if _UUID.fullmatch(each)]
        facts = await self._events("facts_by_id", ids) if ids else []
        found = {event.event_id: event for event in facts}
        if missing := [each for each in ids if each not in found]:
            telemetry = await self._events("telemetry_by_id", missing)
            found |= {event.event_id: event for event in telemetry}
        return found

    async def members(self, entries: Collection[tuple[str, int]]) -> set[int]:
        """Return the positions of those entries, by key and position, that are in the history."""
        if not entries:
            return set()
        keys, positions = zip(*entries, strict=True)
        rows = await self._database.fetch(_QUERIES["members"], list(keys), list(positions))
        return {row["position"] for row in rows}

    async def at(self, position: int) -> Recorded | None:
        """Return the event at a position."""
        found = await self._events("by_position", position)
        return found[0] if found else None

    async def effects(
        self, causes: Collection[Recorded], limit: int, position: int
    ) -> Mapping[str, list[Recorded]]:
        """Return what each of these events led to up to a position, of each the first so many."""
        if not causes:
            return {}
        ids, positions = zip(*((each.event_id, each.position) for each in causes), strict=True)
        arguments = list(ids), list(positions), limit, position
        rows = await self._database.fetch(_QUERIES["effects"], *arguments)
        found: defaultdict[str, list[Recorded]] = defaultdict(list)
        for row in rows:
            found[row["cause"]].append(_recorded(row))
        return found

    async def chain(self, position: int, limit: int) -> list[Recorded]:
        """Return what led to the event at a position, nearest first, at most so many."""
        return await self._events("chain", position, limit)

    async def first(self, position: int) -> Recorded | None:
        """Return where the chain that led to the event at a position begins, if not too far."""
        found = await self._events("first_cause", position, _FARTHEST)
        return found[0] if found else None

    async def _events(self, name: str, *arguments: object) -> list[Recorded]:
        return [_recorded(row) for row in await self._database.fetch(_QUERIES[name], *arguments)]


def _recorded(row: Record) -> Recorded:
    said = orjson.loads(row["meta"]).get
    return Recorded(
        position=row["position"],
        event_id=str(row["event_id"]),
        stream=row["stream"],
        version=row["version"],
        type=row["type"],
        schema_version=row["schema_version"],
        data=orjson.loads(row["data"]),
        recorded_at=row["recorded_at"],
        meta=Meta(
            actor=said("actor", ""),
            occurred_at=said("occurred_at", ""),
            proposer=said("proposer", ""),
            causation_id=said("causation_id"),
            correlation_id=said("correlation_id"),
            trace=said("trace"),
            lease=said("lease"),
            epoch=said("epoch"),
        ),
    )

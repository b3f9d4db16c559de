"""Stories with causes, as the journal would have recorded them: to be told by the time machine."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from contracts.catalogue import CATALOGUE
from contracts.envelope import Cause, Meta, Recorded
from services.projector.projections.history import HISTORY
from services.query.decide.asked import LAST, Reach, Where
from services.query.decide.spans import ENDINGS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from services.query.decide.spans import Wanted
    from tests.fleet import Said

START = datetime(2026, 5, 4, 14, 0, 0, tzinfo=UTC)


class Told:
    """A log in memory in which every event says what it came of."""

    def __init__(self) -> None:
        self.events: list[Recorded] = []
        self.now = START
        self._versions: dict[str, int] = defaultdict(int)

    def later(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    def say(self, said: Said, cause: Recorded | None = None, *, who: str | None = None) -> Recorded:
        """Record an event that came of another."""
        stream, event = said
        self._versions[stream] += 1
        position = len(self.events) + 1
        by = min(CATALOGUE[event.type, event.schema_version].by)
        meta = Meta(who or by, self.now.isoformat(), by)
        if cause is not None:
            of = Cause.of(cause)
            meta = replace(meta, causation_id=of.event_id, correlation_id=of.correlation_id)
        recorded = Recorded(
            position=position,
            event_id=str(UUID(int=0x7 << 76 | 0x2 << 62 | position)),
            stream=stream,
            version=self._versions[stream],
            type=event.type,
            schema_version=event.schema_version,
            data=event.model_dump(mode="json"),
            recorded_at=self.now,
            meta=meta,
        )
        self.events.append(recorded)
        return recorded


class MemoryEvents:
    """A log in memory behind the time machine's port, in the plainest way."""

    def __init__(self, events: Sequence[Recorded]) -> None:
        self.log = list(events)
        folded = [event for event in events if event.type in HISTORY.types]
        self.entries = [(key, position) for key, position, _, _ in HISTORY.entries(folded)]

    async def reach(self, position: int) -> None:
        assert position <= len(self.log)

    async def where(self, moments: Sequence[datetime]) -> Where:
        at = tuple(sum(each.recorded_at <= moment for each in self.log) for moment in moments)
        return Where(len(self.log), at)

    async def page(
        self, reaches: Collection[Reach], limit: int, *, newest_first: bool
    ) -> list[Recorded]:
        low_high = {reach.key: reach for reach in reaches}
        found = {
            position
            for key, position in self.entries
            if key in low_high and low_high[key].low < position < low_high[key].high
        }
        ordered = sorted(found, reverse=newest_first)[:limit]
        return [self.log[position - 1] for position in ordered]

    async def known_as(self, kind: str, id_: str) -> Reach | None:
        own = [event for event in self.log if event.stream == f"{kind}/{id_}"]
        if kind == "gpu":
            own = [event for event in self.log if event.type == "node.inventory_changed"]
        if not own:
            return None
        end = next((event.position for event in own if event.type in ENDINGS), LAST)
        name = own[0].data["name" if kind == "strategy" else "node_id"]
        return Reach(name, own[0].position, end)

    async def rest(self, wanted: Wanted, position: int) -> list[Recorded]:
        found = [event for event in self.log if event.stream in wanted.streams]
        found += [self.log[place - 1] for key, place in self.entries if key in wanted.keys]
        for stream, opens, closes, first, last in wanted.edges:
            own = [event for event in self.log if event.stream == stream]
            shut = [event.version for event in own if event.type in closes]
            low = max((version for version in shut if version < first), default=0)
            high = min((version for version in shut if version > last), default=LAST)
            types = opens | closes
            found += [e for e in own if low < e.version <= high and e.type in types]
        return [event for event in found if event.position <= position]

    async def by_id(self, event_ids: Collection[str]) -> dict[str, Recorded]:
        return {event.event_id: event for event in self.log if event.event_id in event_ids}

    async def members(self, entries: Collection[tuple[str, int]]) -> set[int]:
        return {position for key, position in set(entries) & set(self.entries)}

    async def at(self, position: int) -> Recorded | None:
        return self.log[position - 1] if 0 < position <= len(self.log) else None

    async def effects(
        self, causes: Collection[Recorded], limit: int, position: int
    ) -> Mapping[str, list[Recorded]]:
        return {
            cause.event_id: [
                event
                for event in self.log[cause.position : position]
                if event.meta.causation_id == cause.event_id
            ][:limit]
            for cause in causes
        }

    async def chain(self, position: int, limit: int) -> list[Recorded]:
        by_id, found = await self.by_id([e.event_id for e in self.log]), list[Recorded]()
        event = self.log[position - 1]
        while len(found) < limit:
            cause = by_id.get(event.meta.causation_id or "")
            if cause is None or cause.position >= event.position:
                break
            found.append(cause)
            event = cause
        return found

    async def first(self, position: int) -> Recorded | None:
        chain = await self.chain(position, len(self.log))
        first = chain[-1] if chain else self.log[position - 1]
        return None if first.meta.causation_id else first

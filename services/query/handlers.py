"""The time machine: an entity's history at three zooms, and the causes of an event both ways."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol

from contracts.envelope import Meta
from contracts.http.history import Blame, History, RecordedEvent
from services.chassis.errors import NotFound
from services.query.decide.asked import FACTS, LAST, Reach
from services.query.decide.blame import Tree, blame
from services.query.decide.groups import groups
from services.query.decide.lines import FEW, Around, line
from services.query.decide.spans import belonging, places, spans, wanted
from services.query.decide.stories import ending

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from contracts.envelope import Recorded
    from services.query.decide.asked import Asked, Blamed, Where
    from services.query.decide.spans import Span, Wanted

_OF_NODES = ("node.went_offline", "node.came_online", "node.deleted")
_DECIDED = (
    "instance.start_refused",
    "instance.start_requested",
    "instance.stop_requested",
    "model.deferred",
    "model.floor_unmet",
)
_EVENTS_A_GROUP = 5  # read for each group of a page; most stories have no more
_MOST_EVENTS = 1_000
_WINDOWS = 4  # read before a page without any group is given
_EFFECTS_OF_ONE = 20
_INSTANT = timedelta(microseconds=1)
_FIRST_MOMENT = datetime.min.replace(tzinfo=UTC)  # nothing can be said to be before it


class Events(Protocol):
    """The log, and what says where to look in it."""

    async def reach(self, position: int) -> None:
        """Return once the read models have folded this position."""

    async def where(self, moments: Sequence[datetime]) -> Where:
        """Return how far the read models are, and the last positions at these moments."""

    async def page(
        self, reaches: Collection[Reach], limit: int, *, newest_first: bool
    ) -> list[Recorded]:
        """Return the newest or the oldest events under these keys, in that order."""

    async def known_as(self, kind: str, id_: str) -> Reach | None:
        """Return the node that an instance or a GPU is on, or the name that a strategy has."""

    async def rest(self, wanted: Wanted, position: int) -> list[Recorded]:
        """Return what else belongs to the stories of a page, up to a position."""

    async def by_id(self, event_ids: Collection[str]) -> dict[str, Recorded]:
        """Return events by their ids, those that the log has."""

    async def members(self, entries: Collection[tuple[str, int]]) -> set[int]:
        """Return the positions of those entries, by key and position, that are in the history."""

    async def at(self, position: int) -> Recorded | None:
        """Return the event at a position."""

    async def effects(
        self, causes: Collection[Recorded], limit: int, position: int
    ) -> Mapping[str, list[Recorded]]:
        """Return what each of these events led to up to a position, of each the first so many."""

    async def chain(self, position: int, limit: int) -> list[Recorded]:
        """Return what led to the event at a position, nearest first, at most so many."""

    async def first(self, position: int) -> Recorded | None:
        """Return where the chain that led to the event at a position begins, if not too far."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What of the log is looked at: events after `low` and before `high`; effects to `position`."""

    position: int
    low: int
    high: int

    def holds(self, position: int) -> bool:
        """Return whether a position is between them."""
        return self.low < position < self.high


class TimeMachine:
    """Answers from the log."""

    def __init__(self, events: Events) -> None:
        self._events = events

    async def history(self, asked: Asked) -> History:
        """Return a page; raises NotFound for what the log never spoke of."""
        bounds = await self._bounds(asked)
        reaches = await self._reaches(asked, bounds)
        make = self._groups if asked.zoom == "groups" else self._lines
        items, ended_at = await make(asked, reaches, bounds)
        if not items and asked.after is None:
            await self._known(asked, bounds)
        return History(
            kind=asked.kind,
            id=asked.id,
            zoom=asked.zoom,
            items=tuple(items),
            next_cursor=None if ended_at is None else str(ended_at),
            position=bounds.position,
        )

    async def blame(self, asked: Blamed) -> Blame:
        """Return what led to an event and what it led to; raises NotFound."""
        where = await self._where(asked.as_of, (), asked.min_position)
        event = await self._one(asked.which)
        if event is None or event.position > where.position:
            raise NotFound(f"the log has no event {asked.which}")
        causes = await self._events.chain(event.position, asked.causes + 1)
        known = {each.event_id: each for each in (event, *causes)}
        is_cut = len(causes) > asked.causes
        first = await self._events.first(causes[-1].position) if is_cut else None
        tree = await self._tree(event, asked, where.position)
        return blame(event, known, tree, where.position, at_most=asked.causes, first=first)

    async def _one(self, which: int | str) -> Recorded | None:
        if isinstance(which, int):
            return await self._events.at(which)
        return (await self._events.by_id([which])).get(which)

    async def _tree(self, event: Recorded, asked: Blamed, position: int) -> Tree:
        """Return what came of an event, level by level, until it is too deep or too much."""
        tree, level = Tree(), [event]
        for _ in range(asked.depth):
            if not level:
                return tree
            found = await self._events.effects(level, _EFFECTS_OF_ONE + 1, position)
            below: list[Recorded] = []
            for each in level:
                room = min(_EFFECTS_OF_ONE, asked.effects - tree.size)
                below += tree.grow(each, found.get(each.event_id, ()), at_most=room)
            level = below
        more = await self._events.effects(level, 1, position)
        for each in level:
            tree.grow(each, more.get(each.event_id, ()), at_most=0)
        return tree

    async def _where(
        self, as_of: int | None, moments: Sequence[datetime], min_position: int
    ) -> Where:
        """Return the position that is answered for, and those of these moments."""
        await self._events.reach(min_position)
        where = await self._events.where(moments)
        return where if as_of is None else replace(where, position=as_of)

    async def _bounds(self, asked: Asked) -> Bounds:
        since, until = asked.since, asked.until
        points = [_before(since)] if isinstance(since, datetime) else []
        points += [until] if isinstance(until, datetime) else []
        where = await self._where(asked.as_of, points, asked.min_position)
        at = list(where.at)
        low = at.pop(0) if isinstance(since, datetime) else (since or 1) - 1
        last = at.pop(0) if isinstance(until, datetime) else LAST if until is None else until
        return Bounds(where.position, low, min(last, where.position) + 1)

    async def _reaches(self, asked: Asked, bounds: Bounds) -> list[Reach]:
        """Return the keys to look under: its own, its node's silence, its name's decisions."""
        types = asked.types or FACTS
        low, high = bounds.low, bounds.high
        found = [Reach(f"{asked.kind}/{asked.id} {type_}", low, high) for type_ in types]
        if asked.kind not in ("instance", "gpu", "strategy"):
            return found
        known = await self._events.known_as(asked.kind, asked.id)
        subject: str = "node"
        more: tuple[str, ...] = _OF_NODES
        if asked.kind == "strategy":
            known = known or Reach(asked.id, 1, LAST)
            subject, more = "strategy-name", _DECIDED
        if known is not None:
            low, high = max(low, known.low - 1), min(high, known.high)
            found += [
                Reach(f"{subject}/{known.key} {type_}", low, high)
                for type_ in more
                if type_ in types
            ]
        return found

    async def _known(self, asked: Asked, bounds: Bounds) -> None:
        """Raise NotFound when nothing at all is known of it at that position."""
        wide = Bounds(bounds.position, 0, bounds.position + 1)
        reaches = await self._reaches(replace(asked, types=()), wide)
        if not await self._events.page(reaches, 1, newest_first=False):
            raise NotFound(f"the log knows no {asked.kind} {asked.id}")

    async def _lines(
        self, asked: Asked, reaches: list[Reach], bounds: Bounds
    ) -> tuple[Sequence[Any], int | None]:
        """Return events as lines or as they were recorded, and where the page ended."""
        reaches = [_beyond(each, asked.after, asked) for each in reaches]
        found = await self._events.page(reaches, asked.limit + 1, newest_first=asked.newest_first)
        events = found[: asked.limit]
        ended_at = events[-1].position if len(found) > len(events) else None
        if asked.zoom == "events":
            return [_as_recorded(event) for event in events], ended_at
        around = await self._around(events, bounds.position)
        return [line(event, around) for event in events], ended_at

    async def _around(self, events: Sequence[Recorded], position: int) -> Around:
        causes = {event.meta.causation_id for event in events if event.meta.causation_id}
        known = {event.event_id: event for event in events}
        found = await self._events.by_id(sorted(causes - known.keys()))
        effects = await self._events.effects(events, FEW + 1, position)
        return Around(known | found, effects)

    async def _groups(
        self, asked: Asked, reaches: list[Reach], bounds: Bounds
    ) -> tuple[Sequence[Any], int | None]:
        """Return the stories that have their place in this page, and where it ended."""
        size = min(asked.limit * _EVENTS_A_GROUP, _MOST_EVENTS)
        ended_at = asked.after
        placed: list[tuple[int, Span]] = []
        for _ in range(_WINDOWS):
            within = [_beyond(each, ended_at, asked) for each in reaches]
            found = await self._events.page(within, size + 1, newest_first=asked.newest_first)
            window = found[:size]
            placed = await self._placed(asked, reaches, window, bounds)
            ended_at = window[-1].position if len(found) > size else None
            if placed or ended_at is None:
                break
        if len(placed) > asked.limit:
            placed = placed[: asked.limit]
            ended_at = placed[-1][0]
        stories = [story for _, story in placed]
        ends = [each for story in stories if (each := ending(story))]
        effects = await self._events.effects(ends, FEW + 1, bounds.position)
        return groups(stories, asked.kind, Around(effects=effects)), ended_at

    async def _placed(
        self, asked: Asked, reaches: list[Reach], window: Sequence[Recorded], bounds: Bounds
    ) -> list[tuple[int, Span]]:
        """Return the stories whose place is among these events, with it and ordered by it.

        A story is told wholly, also what of it lies beyond the page, and in one page only: where
        its newest event is that belongs to this history, or its oldest.
        """
        rest = await self._events.rest(wanted(window), bounds.position)
        everything = {each.position: each for each in (*window, *rest)}
        here = {event.position for event in window}
        members = here | await self._members(asked, reaches, rest)
        return places(
            spans(belonging(everything.values(), members)),
            here,
            {position for position in members if bounds.holds(position)},
            newest_first=asked.newest_first,
        )

    async def _members(
        self, asked: Asked, reaches: list[Reach], events: Sequence[Recorded]
    ) -> set[int]:
        """Return the positions of those events that belong to this history."""
        subjects = sorted({reach.key.rpartition(" ")[0] for reach in reaches})
        types = asked.types or FACTS
        return await self._events.members(
            [
                (f"{subject} {event.type}", event.position)
                for event in events
                if event.type in types
                for subject in subjects
            ]
        )


def _before(moment: datetime) -> datetime:
    return max(moment, _FIRST_MOMENT + _INSTANT) - _INSTANT


def _beyond(reach: Reach, position: int | None, asked: Asked) -> Reach:
    """Return what is left of a reach beyond the end of a page."""
    if position is None:
        return reach
    if asked.newest_first:
        return reach._replace(high=min(reach.high, position))
    return reach._replace(low=max(reach.low, position))


def _as_recorded(event: Recorded) -> RecordedEvent:
    return RecordedEvent(
        position=event.position,
        event_id=event.event_id,
        stream=event.stream,
        version=event.version,
        type=event.type,
        schema_version=event.schema_version,
        data=dict(event.data),
        meta={name: getattr(event.meta, name) for name in Meta.__slots__},
        recorded_at=event.recorded_at,
    )

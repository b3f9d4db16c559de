"""What a projection is, and the pure folding of a batch of events into rows and their versions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from contracts.catalogue import CATALOGUE
from contracts.envelope import Event, Recorded
from contracts.upcast import upcast

Row = dict[str, Any]
Reaction = Callable[[Row | None, Recorded], Row | None]
Spread = Callable[[Recorded], Iterable[tuple[str, Recorded]]]


class Indigestible(Exception):
    """A projection cannot digest an event."""

    def __init__(self, event: Recorded, projection: str, cause: BaseException) -> None:
        self.event = event
        super().__init__(
            f"{projection} cannot digest {event.type} version {event.schema_version} "
            f"at position {event.position}: {type(cause).__name__}: {cause}"
        )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A position of the log and the id of the event at it; position 0 is before all events."""

    position: int = 0
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A run of consecutive positions.

    events: those among them that some read model folds. marks: every position, with its event id.
    """

    events: Sequence[Recorded]
    marks: Sequence[Checkpoint]

    @property
    def count(self) -> int:
        """How many events it has."""
        return len(self.marks)

    @property
    def through(self) -> Checkpoint:
        """The last position of it."""
        return self.marks[-1]

    def before(self, position: int) -> Batch | None:
        """Return the part before a position, None when there is none."""
        marks = [mark for mark in self.marks if mark.position < position]
        events = [event for event in self.events if event.position < position]
        return Batch(events, marks) if marks else None


@dataclass(frozen=True, slots=True)
class Version:
    """A row as it stands since `position`; raw: the same as stored, where it was read."""

    position: int
    row: Row
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class Closed:
    """A row that held from one position until just before another."""

    key: str
    version: Version
    to_position: int


@dataclass(slots=True)
class Changes:
    """What a batch did to one read model."""

    current: dict[str, Version] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    closed: list[Closed] = field(default_factory=list)


def by(name: str) -> Spread:
    """Return the usual spread: one key, found in the payload under `name`."""

    def spread(event: Recorded) -> Iterable[tuple[str, Recorded]]:
        return ((event.data[name], event),)

    return spread


@dataclass(frozen=True, eq=False)
class Projection:
    """One read model of rows by key.

    on: the reaction to each event class; a pure (row or None, event) -> row or None, which never
    changes the row it is given and returns that very row when nothing changes.
    spread: the keys that an event touches, each with the event as that key should see it.
    versioned: keep the rows that were; not for rows that telemetry changes at every sample.
    """

    name: str
    spread: Spread
    on: Mapping[type[Event], Reaction]
    versioned: bool = True

    @property
    def types(self) -> frozenset[str]:
        """Return the types of events that it folds."""
        return frozenset(event.type for event in self.on)

    def parts(self, events: Iterable[Recorded]) -> list[tuple[str, Recorded]]:
        """Return (key, event as the key sees it) for every key that the events touch, in order."""
        found: list[tuple[str, Recorded]] = []
        for event in events:
            try:
                found.extend(self.spread(event))
            except Exception as error:
                raise Indigestible(event, self.name, error) from error
        return found

    def fold(self, parts: Iterable[tuple[str, Recorded]], stored: Mapping[str, Version]) -> Changes:
        """Return what these parts change in rows that stand as `stored`."""
        reactions = {event.type: reaction for event, reaction in self.on.items()}
        now: dict[str, Version | None] = dict(stored)
        changes = Changes()
        for key, event in parts:
            before = now.get(key)
            try:
                row = reactions[event.type](before.row if before else None, event)
            except Exception as error:
                raise Indigestible(event, self.name, error) from error
            if row is (before.row if before else None):
                continue
            if before and self.versioned:
                changes.closed.append(Closed(key, before, event.position))
            now[key] = Version(event.position, row) if row is not None else None
        for key, version in now.items():
            if version is None:
                changes.gone.append(key)
            elif version is not stored.get(key):
                changes.current[key] = version
        return changes


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a series."""

    key: str
    position: int
    at: datetime
    row: Row


@dataclass(frozen=True, eq=False)
class Series:
    """One read model that only grows: an entry per event, by key and position."""

    name: str
    key: str
    on: Mapping[type[Event], Callable[[Recorded], Row]]
    trimmed: bool = False

    @property
    def types(self) -> frozenset[str]:
        """Return the types of events that it folds."""
        return frozenset(event.type for event in self.on)

    def entries(self, events: Iterable[Recorded]) -> list[Entry]:
        """Return the entry of every event, in order."""
        makers = {event.type: maker for event, maker in self.on.items()}
        found: list[Entry] = []
        for event in events:
            try:
                row = makers[event.type](event)
                found.append(Entry(event.data[self.key], event.position, event.recorded_at, row))
            except Exception as error:
                raise Indigestible(event, self.name, error) from error
        return found


Model = TypeVar("Model", "Projection", "Series")


def grouped(events: Iterable[Recorded], models: Sequence[Model]) -> dict[Model, list[Recorded]]:
    """Return the events that each read model folds, in today's form.

    Raises Indigestible at a version newer than we know.
    """
    readers: dict[str, list[Model]] = defaultdict(list)
    for model in models:
        for type_ in model.types:
            readers[type_].append(model)
    found: dict[Model, list[Recorded]] = {}
    for event in events:
        for model in readers.get(event.type, ()):
            found.setdefault(model, []).append(_todays(event, model.name))
    return found


def _todays(event: Recorded, reader: str) -> Recorded:
    if (event.type, event.schema_version) in CATALOGUE:
        return event
    version, data = upcast(event.type, event.schema_version, event.data)
    if (event.type, version) not in CATALOGUE:
        raise Indigestible(event, reader, LookupError("this version is not in the catalogue"))
    return replace(event, schema_version=version, data=data)


def moment(at: datetime) -> str:
    """Return a time as ISO 8601 in UTC, always of the same width, so that text sorts as time."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def gone(_row: Row | None, _event: Recorded) -> None:
    """React by removing the row."""

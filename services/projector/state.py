"""What a projection is, and the pure folding of a batch of events into rows and their versions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any

from contracts.catalogue import CATALOGUE, TELEMETRY_TYPES
from contracts.envelope import Event, Recorded
from contracts.upcast import upcast

Row = dict[str, Any]
Reaction = Callable[[Row | None, Recorded], Row | None]
Spread = Callable[[Recorded], Iterable[tuple[str, Recorded]]]
Keys = Callable[[Recorded], Iterable[str]]
Part = tuple[str, Recorded]

# How batches are folded; raised when the same projections would make other rows than before.
FOLDING = 1


class Indigestible(Exception):
    """A projection cannot digest an event."""

    def __init__(self, event: Recorded, projection: str, cause: BaseException) -> None:
        self.event, self.projection = event, projection
        super().__init__(
            f"{projection} cannot digest {event.type} version {event.schema_version} "
            f"at position {event.position}: {type(cause).__name__}: {cause}"
        )


class Rewound(Exception):
    """The log is not the one that was folded: it was restored to an earlier point."""

    def __init__(self, checkpoint: Checkpoint, found: str | None) -> None:
        self.checkpoint = checkpoint
        there = f"event {found}" if found else "nothing"
        super().__init__(
            f"the log was restored to an earlier point: position {checkpoint.position} was event "
            f"{checkpoint.event_id} and is {there} now; rebuild the read models"
        )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A position of the log and the id of the event at it; position 0 is before all events."""

    position: int = 0
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """A run of consecutive positions.

    events: those among them that change a read model. count: how many there are in all.
    """

    events: Sequence[Recorded]
    count: int
    through: Checkpoint


@dataclass(slots=True, eq=False)
class Version:
    """A row as it stands since `position`; raw: the same as it is stored, once that is known."""

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
    gone: dict[str, None] = field(default_factory=dict)
    closed: list[Closed] = field(default_factory=list)

    def add(self, later: Changes) -> None:
        """Take in what came after."""
        for key in later.gone:
            self.current.pop(key, None)
        for key in later.current:
            self.gone.pop(key, None)
        self.gone.update(later.gone)
        self.current.update(later.current)
        self.closed += later.closed


def by(name: str) -> Spread:
    """Return the usual spread: one key, found in the payload under `name`."""

    def spread(event: Recorded) -> Iterable[Part]:
        return ((event.data[name], event),)

    return spread


@dataclass(frozen=True, eq=False)
class Projection:
    """One read model of rows by key.

    on: the reaction to each event class; a pure (row or None, event) -> row or None, which never
    changes the row it is given and returns that very row when nothing changes.
    spread: the keys that an event touches, each with the event as that key should see it.
    versioned: keep the rows that were; not for rows that telemetry changes at every sample.
    latest: of the telemetry of one type in one stream, only the last changes the row for good, so
    that what it overtook in the same batch need not be read.
    """

    name: str
    spread: Spread
    on: Mapping[type[Event], Reaction]
    versioned: bool = True
    latest: bool = False

    @cached_property
    def types(self) -> frozenset[str]:
        """Return the types of events that it folds."""
        return frozenset(event.type for event in self.on)

    @cached_property
    def _reactions(self) -> dict[str, Reaction]:
        return {event.type: reaction for event, reaction in self.on.items()}

    def parts(self, events: Iterable[Recorded]) -> list[Part]:
        """Return (key, event as the key sees it) for every key that the events touch, in order."""
        found: list[Part] = []
        for event in events:
            try:
                found.extend(self.spread(event))
            except Exception as error:
                raise Indigestible(event, self.name, error) from error
        return found

    def fold(self, parts: Iterable[Part], stored: Mapping[str, Version | None]) -> Changes:
        """Return what these parts change in rows that stand as `stored`."""
        reactions = self._reactions
        now: dict[str, Version | None] = {}
        changes = Changes()
        for key, event in parts:
            before = now[key] if key in now else stored.get(key)
            known = before.row if before else None
            try:
                row = reactions[event.type](known, event)
            except Exception as error:
                raise Indigestible(event, self.name, error) from error
            if row is known:
                continue
            if before and self.versioned:
                changes.closed.append(Closed(key, before, event.position))
            now[key] = Version(event.position, row) if row is not None else None
        for key, version in now.items():
            if version is None:
                changes.gone[key] = None
            else:
                changes.current[key] = version
        return changes


# One entry of a series: key, position, when it was recorded, row.
Entry = tuple[str, int, datetime, Row]


@dataclass(frozen=True, eq=False)
class Series:
    """One read model that only grows: an entry per event and key, by key and position.

    key: the field of the payload that holds it, or what names every key of an event.
    trimmed: only the newest entries of each key are kept; then it folds one type of telemetry
    which has streams of its own, one for each key.
    """

    name: str
    key: str | Keys
    on: Mapping[type[Event], Callable[[Recorded], Row]]
    trimmed: bool = False

    @cached_property
    def types(self) -> frozenset[str]:
        """Return the types of events that it folds."""
        return frozenset(event.type for event in self.on)

    @cached_property
    def _makers(self) -> dict[str, Callable[[Recorded], Row]]:
        return {event.type: maker for event, maker in self.on.items()}

    def entries(self, events: Iterable[Recorded]) -> list[Entry]:
        """Return the entries of every event, in order."""
        makers, keys = self._makers, self._keys
        found: list[Entry] = []
        for event in events:
            try:
                row, position, at = makers[event.type](event), event.position, event.recorded_at
                found += [(key, position, at, row) for key in keys(event)]
            except Exception as error:
                raise Indigestible(event, self.name, error) from error
        return found

    def _keys(self, event: Recorded) -> Iterable[str]:
        return (event.data[self.key],) if isinstance(self.key, str) else self.key(event)


Model = Projection | Series


@dataclass(frozen=True, slots=True)
class Wanted:
    """What some read models want of the log.

    facts, telemetry: types of which every event counts. latest: types of telemetry of which the
    last of each stream in a batch is enough. kept: types whose oldest entries nobody keeps.
    """

    facts: frozenset[str]
    telemetry: frozenset[str]
    latest: frozenset[str]
    kept: frozenset[str]


def wanted(models: Iterable[Model]) -> Wanted:
    """Return what these read models want of the log."""
    readers = readers_of(models)
    telemetry = readers.keys() & TELEMETRY_TYPES
    latest = {
        type_
        for type_ in telemetry
        if all(isinstance(model, Projection) and model.latest for model in readers[type_])
    }
    kept = {
        type_
        for type_ in telemetry
        if all(isinstance(model, Series) and model.trimmed for model in readers[type_])
    }
    return Wanted(
        facts=frozenset(readers.keys() - telemetry),
        telemetry=frozenset(telemetry - latest),
        latest=frozenset(latest),
        kept=frozenset(kept),
    )


def forgetful(model: Model) -> bool:
    """Tell whether telemetry makes this read model, which the log forgets after a while."""
    return not model.types.isdisjoint(TELEMETRY_TYPES)


Readers = Mapping[str, Sequence[Model]]


def readers_of(models: Iterable[Model]) -> Readers:
    """Return who folds each type of event."""
    readers: dict[str, list[Model]] = {}
    for model in models:
        for type_ in model.types:
            readers.setdefault(type_, []).append(model)
    return readers


def grouped(events: Iterable[Recorded], readers: Readers) -> dict[Model, list[Recorded]]:
    """Return the events that each read model folds, in today's form.

    Raises Indigestible at a version newer than we know.
    """
    found: dict[Model, list[Recorded]] = {}
    for event in events:
        models = readers.get(event.type)
        if not models:
            continue
        if (event.type, event.schema_version) not in CATALOGUE:
            event = _todays(event, models[0].name)  # noqa: PLW2901 (an old form of the same)
        for model in models:
            if model in found:
                found[model].append(event)
            else:
                found[model] = [event]
    return found


def _todays(event: Recorded, reader: str) -> Recorded:
    version, data = upcast(event.type, event.schema_version, event.data)
    if (event.type, version) not in CATALOGUE:
        raise Indigestible(event, reader, LookupError("this version is not in the catalogue"))
    return replace(event, schema_version=version, data=data)


@lru_cache(maxsize=256)  # several read models tell of the same event
def moment(at: datetime) -> str:
    """Return a time as ISO 8601 in UTC, always of the same width, so that text sorts as time."""
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return at.isoformat(timespec="microseconds")[:-6] + "Z"


def gone(_row: Row | None, _event: Recorded) -> None:
    """React by removing the row."""

"""What the time machine answers: an entity's history, and the chain of causes of an event."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, PlainSerializer

from contracts.types import Moment

Kind = Literal[
    "environment", "model", "node", "gpu", "instance", "queue", "strategy", "alert", "webhook"
]
Zoom = Literal["groups", "timeline", "events"]


def _moment(at: datetime) -> str:
    """Return a time as all reads write it: in UTC, always of the same width."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


At = Annotated[Moment, PlainSerializer(_moment, return_type=str)]
Nature = Literal["asked", "decided", "done", "seen", "told"]


class Mention(BaseModel):
    """An event in one sentence.

    nature: asked by a person or a client, decided by the scheduler, done by the deployer, seen
    outside by whoever watches nodes and queues, told by the alerter.
    """

    position: int
    event_id: str
    type: str
    at: At
    what: str
    nature: Nature


class Line(Mention):
    """One event of a timeline: who, why, what it came of and what it led to.

    caused_by: None where nothing in the log led to it. led_to: the first few, with `led_to_more`
    where there are others.
    """

    stream: str
    who: str
    why: str | None = None
    caused_by: Mention | None = None
    led_to: tuple[Mention, ...] = ()
    led_to_more: bool = False


class Group(BaseModel):
    """Events that are one story: a worker's run, a time offline, an alert until it was over.

    code: run, restarts, offline, quarantine, below_floor, queue_unreachable, alert, active,
    changes, or event for one that stands alone. ended_at: None while it goes on. about: the ids
    it is about, by kind.
    """

    code: str
    what: str
    who: str
    why: str | None = None
    began_at: At
    ended_at: At | None = None
    lasted_s: float | None = None
    events: int
    first: Mention
    last: Mention
    led_to: tuple[Mention, ...] = ()
    about: dict[str, str] = {}


class RecordedEvent(BaseModel):
    """One event as it was recorded."""

    position: int
    event_id: str
    stream: str
    version: int
    type: str
    schema_version: int
    data: dict[str, Any]
    meta: dict[str, Any]
    recorded_at: At


class History(BaseModel):
    """A page of an entity's history; `items` are what `zoom` says, ordered by position.

    position: everything up to there was looked at, and nothing after it.
    """

    kind: Kind
    id: str
    zoom: Zoom
    items: tuple[Group, ...] | tuple[Line, ...] | tuple[RecordedEvent, ...]
    next_cursor: str | None = None
    position: int


class Effect(Mention):
    """An event that came of another, and what came of it.

    cut: something came of it that is not shown: too deep, or too much of it.
    """

    stream: str
    who: str
    why: str | None = None
    effects: tuple[Effect, ...] = ()
    cut: bool = False


ChainEnd = Literal["first", "cut", "unknown"]


class Blame(BaseModel):
    """The chain of causes of one event, and the tree of what came of it.

    causes: nearest first. end: the last of them is the first cause; or there are more, which were
    cut; or the one before it is not in the log (any more). origin: the nearest thing that a person
    asked for, or that was seen outside. first: where the chain begins, also where it was cut.
    event_cut, cut: more came of the event itself, or of anything in the tree, than is shown.
    shown: how many events are in the tree.
    """

    event: Line
    causes: tuple[Line, ...] = ()
    end: ChainEnd = "first"
    unknown: str | None = None
    origin: Mention | None = None
    first: Mention | None = None
    effects: tuple[Effect, ...] = ()
    event_cut: bool = False
    cut: bool = False
    shown: int = 0
    position: int

"""The envelope around every event: drafted, proposed, recorded."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

MAX_DATA_BYTES = 64 * 1024


class Event(BaseModel):
    """The payload of one event type; readers keep and ignore fields they do not know."""

    model_config = ConfigDict(frozen=True, extra="allow")
    type: ClassVar[str]
    schema_version: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to decide: the name of a leadership and the epoch it was taken in."""

    name: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Cause:
    """An event that leads to others, as a state keeps it.

    correlation_id: the first event of its chain, which everything that comes of it shares.
    """

    event_id: str
    correlation_id: str
    position: int

    @classmethod
    def of(cls, recorded: Recorded) -> Cause:
        """Return an event as the cause of another; without a chain before it, it begins one."""
        first = recorded.meta.correlation_id or recorded.event_id
        return cls(recorded.event_id, first, recorded.position)


@dataclass(frozen=True, slots=True)
class Draft:
    """What a pure decision wants recorded: no id, no time, no I/O.

    expected_version: the stream's version before this event; 0 means the stream must be new.
    causation_id: the event that led to it. correlation_id: the first event of that chain.
    trace: the span it was decided in; whoever proposes it knows, and no decision sets it.
    """

    stream: str
    event: Event
    expected_version: int | None = None
    causation_id: str | None = None
    correlation_id: str | None = None
    trace: str | None = None

    def because(self, cause: Cause | None) -> Draft:
        """Return the same with what led to it; None: nothing in the log did."""
        if cause is None:
            return self
        return replace(self, causation_id=cause.event_id, correlation_id=cause.correlation_id)


@dataclass(frozen=True, slots=True)
class Proposed:
    """One event on its way to the journal; `data` is its payload as JSON values."""

    event_id: str
    stream: str
    type: str
    schema_version: int
    data: Mapping[str, Any]
    occurred_at: datetime
    actor: str
    expected_version: int | None = None
    causation_id: str | None = None
    correlation_id: str | None = None
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """Events that are recorded together or not at all."""

    events: tuple[Proposed, ...]
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class Meta:
    """Who said an event, when, and what led to it."""

    actor: str
    occurred_at: str
    proposer: str
    causation_id: str | None = None
    correlation_id: str | None = None
    trace: str | None = None
    lease: str | None = None
    epoch: int | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """One event of the log.

    position: global, dense, from 1. version: in its stream, dense, from 1.
    recorded_at: never decreasing along positions.
    """

    position: int
    event_id: str
    stream: str
    version: int
    type: str
    schema_version: int
    data: Mapping[str, Any]
    recorded_at: datetime
    meta: Meta = field(default_factory=lambda: Meta("", "", ""))

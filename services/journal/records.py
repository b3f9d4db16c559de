"""What the journal's rooms hand each other: entries, commands, verdicts, rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from contracts.envelope import Lease


@dataclass(frozen=True, slots=True)
class Entry:
    """One event as it will be stored; `data` and `meta` are JSON texts."""

    event_id: str
    stream: str
    type: str
    schema_version: int
    data: str
    meta: str
    telemetry: bool = False
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """Entries that are appended together or not at all."""

    entries: tuple[Entry, ...]
    lease: Lease | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a proposal is not recorded."""

    code: str
    detail: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


Outcome = Literal["appended", "duplicate", "conflict", "fenced", "other_content"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a command.

    positions, versions: of each entry, where it was or is recorded.
    stream, current: the stream that differed and its version (or the lease and its epoch).
    """

    outcome: Outcome
    positions: tuple[int, ...] = ()
    versions: tuple[int, ...] = ()
    stream: str = ""
    current: int = 0


@dataclass(frozen=True, slots=True)
class Head:
    """The newest position of the log, the event at it, and the log's time."""

    position: int
    event_id: str | None
    now: datetime


@dataclass(frozen=True, slots=True)
class Seal:
    """What a dropped partition leaves: between `first` and `last`, `events` positions were its.

    last_hash: where its chain ended. sealed_by: the position of the fact that says all this.
    """

    first: int
    last: int
    events: int
    partition: str = ""
    last_hash: bytes = b""
    sealed_by: int = 0


def first_unsealed(first: int, last: int, seals: Sequence[Seal]) -> int | None:
    """Return the first of these positions that no seal accounts for, None when seals cover all."""
    position = first
    while position <= last:
        ends = [seal.last for seal in seals if seal.first <= position <= seal.last]
        if not ends:
            return position
        position = max(ends) + 1
    return None


def never_mind(_done: int, _total: int, _what: str) -> None:
    """Tell nobody how far a long work is."""


Tell = Callable[[int, int, str], None]  # how far a long work is: so much, of how much, of what
Say = Callable[[bool, str], None]  # whether a part of the journal is well, and why not
Row = Any  # a mapping: position event_id stream version type schema_version data meta recorded_at

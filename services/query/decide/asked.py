"""What is asked of the time machine, and where in the log it has to look."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from contracts.catalogue import CATALOGUE

if TYPE_CHECKING:
    from datetime import datetime

    from contracts.http.history import Kind, Zoom

    Point = int | datetime

LAST = 2**63 - 1
FACTS = tuple(
    sorted({entry.event.type for entry in CATALOGUE.values() if entry.retention == "fact"})
)


class Reach(NamedTuple):
    """A key of the history, or a name, between two positions that are not part of it."""

    key: str
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Where:
    """How far the read models are, and the positions of the moments asked for."""

    position: int
    at: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """Which part of whose history. after: the position that the page before ended at."""

    kind: Kind
    id: str
    zoom: Zoom
    limit: int
    newest_first: bool = True
    after: int | None = None
    since: Point | None = None
    until: Point | None = None
    as_of: int | None = None
    types: tuple[str, ...] = ()
    min_position: int = 0


@dataclass(frozen=True, slots=True)
class Blamed:
    """Which event, how far back to go, and how deep and how wide to look at what it led to."""

    which: int | str
    causes: int
    depth: int
    effects: int
    as_of: int | None = None
    min_position: int = 0

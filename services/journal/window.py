"""The telemetry window: days older than it are dropped whole, each sealed by a recorded fact."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import structlog

from contracts.envelope import Draft
from contracts.events.log import LogPartitionSealed
from services.chassis.errors import Bug
from services.chassis.ids import uuid7
from services.journal.records import Command
from services.journal.validate import judge

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

log = structlog.get_logger(__name__)

WINDOW_DAYS = 30
PROPOSER = "journal"


@dataclass(frozen=True, slots=True)
class Partition:
    """A day of telemetry (UTC), by the name of its table."""

    name: str
    day: date


@dataclass(frozen=True, slots=True)
class Measured:
    """What a partition holds; `last_hash` is where its own chain ends."""

    partition: str
    first: int
    last: int
    events: int
    last_hash: bytes


class Windowed(Protocol):
    """What a log must do to forget old telemetry."""

    async def partitions(self) -> list[Partition]:
        """Return the days that are there, oldest first."""

    async def measured(self, partition: str) -> Measured | None:
        """Return what a partition holds, None when that is nothing."""

    async def drop(self, partition: str, sealing: tuple[Measured, Command] | None) -> bool:
        """Append the fact that seals a partition and drop it, or do neither and return False.

        Raises Unavailable when a reader does not let go of it soon.
        """


def expired(partitions: Sequence[Partition], now: datetime, window_days: int) -> list[Partition]:
    """Return the days that ended before the window began, oldest first.

    The day the window begins in is kept whole: nothing younger than the window is ever dropped.
    """
    oldest = now.date() - timedelta(days=window_days)
    return [partition for partition in partitions if partition.day < oldest]


async def forget(log_: Windowed, now: datetime, *, window_days: int, published: int) -> list[str]:
    """Drop what is older than the window, oldest first; return the names of what is gone.

    Stops at a day that is not wholly published yet: `published` is how far that went. Another
    journal at the same work is harmless: of two, one records the seal. Raises Unavailable; what
    was dropped until then stays dropped.
    """
    gone: list[str] = []
    for partition in expired(await log_.partitions(), now, window_days):
        measured = await log_.measured(partition.name)
        if measured is not None and measured.last > published:
            log.warning("partition kept: it is not published yet", partition=partition.name)
            break
        sealing = None if measured is None else (measured, fact(measured, now, window_days))
        if await log_.drop(partition.name, sealing):
            log.info("partition dropped", partition=partition.name, measured=measured)
            gone.append(partition.name)
    return gone


def fact(measured: Measured, now: datetime, window_days: int) -> Command:
    """Return the proposal that seals a partition, judged as any other."""
    event = LogPartitionSealed(
        partition=measured.partition,
        first_position=measured.first,
        last_position=measured.last,
        events=measured.events,
        last_hash=measured.last_hash.hex(),
        window_days=window_days,
    )
    draft = Draft(f"partition/{measured.partition}", event, expected_version=0)
    raw = {
        "event_id": uuid7(),
        "stream": draft.stream,
        "type": event.type,
        "schema_version": event.schema_version,
        "data": event.model_dump(mode="json"),
        "occurred_at": now,
        "actor": PROPOSER,
        "expected_version": draft.expected_version,
    }
    judged = judge({"events": [raw]}, PROPOSER, now)
    if not isinstance(judged, Command):
        raise Bug(f"a seal is refused: {judged.detail}")
    return judged

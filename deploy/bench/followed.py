"""The snapshots of a log's past, as a scheduler keeps them that follows while the log grows.

A benchmark's log is written in a minute and nobody follows it meanwhile. Here its scheduler's fold
goes through it afterwards and keeps what the service keeps: as often, packed and put the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from contracts.envelope import Recorded
from deploy.local.engines import Engines
from services.chassis import bus
from services.chassis.clock import SystemClock
from services.chassis.follower import Follower
from services.chassis.frozen import Freezer, pack
from services.chassis.keeping import BYTES_PER_EVENT, LEAST_S
from services.chassis.snapshots import Manifest, Shelf
from services.scheduler.service import SERVICE
from services.scheduler.settings import Settings
from services.scheduler.state import State

_SHARE = 9 / 8  # a process keeps after so many events and up to a quarter more


async def follow(engines: Engines, head: int) -> int:
    """Keep snapshots of all of a log; return how many. The journal must run."""
    connection = await bus.connect(SERVICE, engines.amqp_url(SERVICE))
    state, pace = State(), Settings().pace()
    shelves = _Shelves(Shelf(connection, Freezer(SERVICE, state).fingerprint), state, pace.kept_of)
    follower = Follower(connection, SERVICE, State.TYPES, SystemClock())
    follower.begin_at(0, "", None)
    since, began_at, due = 0, None, 0.0
    async for events in follower.through(head):
        for event in events:
            state.apply(event)
            since, began_at = since + 1, began_at or event.recorded_at
            due = max(pace.every_events * _SHARE, shelves.packed_bytes / BYTES_PER_EVENT)
            waited_s = _seconds(began_at, event)
            if (since >= due and waited_s >= LEAST_S) or waited_s >= pace.every_s:
                await shelves.keep(event)
                since, began_at = 0, event.recorded_at
    await connection.close()
    return shelves.kept


def _seconds(began_at: datetime, event: Recorded) -> float:
    return (event.recorded_at - began_at).total_seconds()


class _Shelves:
    """Where the snapshots of one state go."""

    def __init__(self, shelf: Shelf, state: State, kept_of: Callable[[int], int]) -> None:
        self._shelf, self._state, self._kept_of = shelf, state, kept_of
        self._freezer = Freezer(SERVICE, state)
        self.kept = self.packed_bytes = 0

    async def keep(self, event: Recorded) -> None:
        """Keep the state as it is after an event."""
        packed, plain_bytes = pack(self._freezer.freeze(self._state))
        fingerprint = self._freezer.fingerprint
        said = Manifest("", fingerprint, event.position, event.event_id, plain_bytes, ())
        await self._shelf.put(said, packed, kept=self._kept_of(len(packed)))
        self.kept, self.packed_bytes = self.kept + 1, len(packed)

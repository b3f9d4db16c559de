"""Folded states of the past: the nearest snapshot at or before a position, plus history."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

import structlog

from services.chassis.errors import Bug, Refused, Unavailable
from services.chassis.folding import recorded_skips
from services.chassis.follower import Follower, ahead
from services.chassis.frozen import Freezer, in_slices, pack
from services.chassis.keeping import folds_telemetry, lacks_telemetry, thaw
from services.chassis.snapshots import MOST_KEPT, Manifest, Shelf

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from datetime import datetime

    from contracts.envelope import Recorded
    from services.chassis.clock import Clock
    from services.chassis.follower import Batches
    from services.chassis.ports import Bus
    from services.chassis.snapshots import Found

log = structlog.get_logger(__name__)

REMEMBERED = 8
WORTH_KEEPING = 10_000


class Folds(Protocol):
    """A state that folds recorded events in place."""

    TYPES: ClassVar[frozenset[str]]

    def apply(self, event: Recorded) -> None:
        """Fold one event."""


S = TypeVar("S", bound=Folds)


class Past(Generic[S]):
    """The states of a service at past positions; a few are remembered.

    make: a new state, as it is before the first event. telemetry_window_s: as the service's own
    follower has it; a past state knows telemetry from so long before its position on, or longer.
    """

    def __init__(
        self,
        bus: Bus,
        service: str,
        make: Callable[[], S],
        clock: Clock,
        *,
        telemetry_window_s: float | None = None,
    ) -> None:
        self._bus, self._service, self._make, self._clock = bus, service, make, clock
        self._window_s = telemetry_window_s
        self._freezer = Freezer(service, make())
        self._shelf = Shelf(bus, self._freezer.fingerprint)
        self._known: OrderedDict[int, tuple[S, datetime | None]] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()

    async def at(self, position: int) -> S:
        """Return the state folded through `position`; only read it, for others do too.

        Raises Refused when it is not recorded yet, Unavailable, or Bug at an event that cannot be
        folded.
        """
        async with self._one_at_a_time:
            if position not in self._known:
                self._known[position] = await self._folded(position)
            self._known.move_to_end(position)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
            return self._known[position][0]

    async def _folded(self, position: int) -> tuple[S, datetime | None]:
        state = self._make()
        follower = Follower(self._bus, self._service, state.TYPES, self._clock)
        telemetry = folds_telemetry(follower)
        found = await self._shelf.find(telemetry=telemetry, at_most=position, with_chunk=True)
        if not 0 <= position <= found.head:
            raise Refused(f"position {position}: the newest is {found.head}", head=found.head)
        for start in self._starts(position, found, follower):
            follower.begin_at(start.position, start.event_id, start.since)
            # What comes behind it is on its way while the state is made that it is folded into.
            async with ahead(follower.through(position)) as pages:
                if not await start.begin(state):
                    continue
                await self._fold_on(pages, follower, state)
            is_of_use = found.event_id is not None and position > found.sealed
            if position - start.position >= WORTH_KEEPING and is_of_use:
                await self._keep(state, position, str(found.event_id), start.since)
            break
        return state, follower.telemetry_since

    def _starts(self, position: int, found: Found, follower: Follower) -> Iterator[_Start[S]]:
        """Yield what a state may begin with, the nearest first: in the end, with nothing."""
        since = self._since(found, follower)
        newest = found.manifests[0].position if found.manifests else 0
        nearest = max((known for known in self._known if known <= position), default=0)
        if nearest > newest:
            known, telemetry_since = self._known[nearest]
            yield _Start(nearest, "", telemetry_since, partial(self._copied, known))
        for number, manifest in enumerate(found.manifests):
            if not lacks_telemetry(manifest, since, follower):
                thawed = partial(self._thawed, manifest, b"" if number else found.chunk)
                event_id, telemetry_since = manifest.event_id, manifest.telemetry_since
                yield _Start(manifest.position, event_id, telemetry_since, thawed)
        yield _Start(0, "", since, _as_it_is)

    async def _keep(self, state: S, position: int, event_id: str, since: datetime | None) -> None:
        """Spare the next one the way; without it, nothing is lost but time."""
        lines = await in_slices(self._freezer.freeze(state), self._clock)
        packed, plain_bytes = await asyncio.to_thread(pack, lines or ())
        said = Manifest("", self._freezer.fingerprint, position, event_id, plain_bytes, (), since)
        try:
            # Whoever keeps the state of now says how many stay: that one knows how large it is.
            await self._shelf.put(said, packed, kept=MOST_KEPT)
        except (Refused, Unavailable) as error:
            log.info("past state not kept", service=self._service, because=error.detail)

    def _since(self, found: Found, follower: Follower) -> datetime | None:
        if not folds_telemetry(follower) or self._window_s is None or found.moment is None:
            return None
        return found.moment - timedelta(seconds=self._window_s)

    async def _copied(self, known: S, state: S) -> bool:
        lines = await in_slices(self._freezer.freeze(known), self._clock)
        await in_slices(self._freezer.thaw(lines or (), state), self._clock)
        return True

    async def _thawed(self, manifest: Manifest, first: bytes, state: S) -> bool:
        """Make `state` that of a snapshot; False, and it stays as it is, when that is of no use."""
        try:
            packed = await self._shelf.fetch(manifest, first)
            await thaw(self._freezer, manifest, packed, state, self._clock)
        except Unavailable:
            raise
        except Exception as error:  # noqa: BLE001 (whatever is wrong with it, history is not)
            log.warning(
                "snapshot passed over",
                service=self._service,
                position=manifest.position,
                because=f"it is damaged: {error!r}",
            )
            return False
        return True

    async def _fold_on(self, pages: Batches, follower: Follower, state: S) -> None:
        async for events in pages:
            failures = await in_slices(_apply(events, state), self._clock)
            for failure in filter(None, failures or ()):
                if failure.position not in await recorded_skips(follower, self._service):
                    raise Bug(f"cannot fold {failure.type} at position {failure.position}")


@dataclass(frozen=True, slots=True)
class _Start(Generic[S]):
    """Something a state of the past may begin with: where it stands, and how it gets there.

    begin: makes a state; False, and it is as it was, when it cannot.
    """

    position: int
    event_id: str
    since: datetime | None
    begin: Callable[[S], Awaitable[bool]]


async def _as_it_is(_: Folds) -> bool:
    return True


def _apply(events: Sequence[Recorded], state: Folds) -> Iterator[Recorded | None]:
    """Fold events one by one; yield those that cannot be folded."""
    for event in events:
        try:
            state.apply(event)
        except Exception:  # noqa: BLE001 (an operator may have let it pass, as the service does)
            yield event
        else:
            yield None

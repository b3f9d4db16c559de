"""Folded states of the past: the nearest snapshot at or before a position, plus history."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

import structlog

from services.chassis.errors import Bug, Refused, Unavailable
from services.chassis.folding import recorded_skips
from services.chassis.follower import Follower
from services.chassis.frozen import Freezer, in_slices, pack
from services.chassis.keeping import folds_telemetry, lacks_telemetry, thaw
from services.chassis.snapshots import Manifest, Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from contracts.envelope import Recorded
    from services.chassis.clock import Clock
    from services.chassis.ports import Bus
    from services.chassis.snapshots import Found

log = structlog.get_logger(__name__)

REMEMBERED = 8
KEPT_OF_THE_PAST = 48  # spread over the log: any past is near one
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
        found = await self._shelf.find(telemetry=telemetry, at_most=position)
        if not 0 <= position <= found.head:
            raise Refused(f"position {position}: the newest is {found.head}", head=found.head)
        since = self._since(found, telemetry=telemetry)
        follower.begin_at(0, "", since)
        if not await self._remembered(position, found, follower, state):
            await self._thawed(found, since, follower, state)
        begun_at = follower.position
        await self._fold_on(follower, state, position)
        if position - begun_at >= WORTH_KEEPING and found.event_id is not None:
            await self._keep(state, position, found.event_id, follower.telemetry_since)
        return state, follower.telemetry_since

    async def _keep(self, state: S, position: int, event_id: str, since: datetime | None) -> None:
        """Spare the next one the way; without it, nothing is lost but time."""
        lines = await in_slices(self._freezer.freeze(state), self._clock)
        packed, plain_bytes = await asyncio.to_thread(pack, lines or ())
        said = Manifest("", self._freezer.fingerprint, position, event_id, plain_bytes, (), since)
        try:
            await self._shelf.put(said, packed, kept=KEPT_OF_THE_PAST)
        except (Refused, Unavailable) as error:
            log.info("past state not kept", service=self._service, because=error.detail)

    def _since(self, found: Found, *, telemetry: bool) -> datetime | None:
        if not telemetry or self._window_s is None or found.moment is None:
            return None
        return found.moment - timedelta(seconds=self._window_s)

    async def _remembered(self, position: int, found: Found, follower: Follower, state: S) -> bool:
        """Begin with a copy of a state we have, where no snapshot is nearer."""
        newest = found.manifests[0].position if found.manifests else 0
        nearest = max((known for known in self._known if known <= position), default=0)
        if nearest <= newest:
            return False
        known, since = self._known[nearest]
        lines = await in_slices(self._freezer.freeze(known), self._clock)
        await in_slices(self._freezer.thaw(lines or (), state), self._clock)
        follower.begin_at(nearest, "", since)
        return True

    async def _thawed(
        self, found: Found, since: datetime | None, follower: Follower, state: S
    ) -> None:
        """Begin with the nearest snapshot of use, or with nothing."""
        for manifest in found.manifests:
            if lacks_telemetry(manifest, since, follower):
                continue
            try:
                packed = await self._shelf.fetch(manifest)
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
                continue
            follower.begin_at(manifest.position, manifest.event_id, manifest.telemetry_since)
            return

    async def _fold_on(self, follower: Follower, state: S, position: int) -> None:
        reached = follower.position
        while reached < position:
            reached, events, _ = await follower.history(follower.types, reached, position)
            failures = await in_slices(_apply(events, state), self._clock)
            for failure in filter(None, failures or ()):
                if failure.position not in await recorded_skips(follower, self._service):
                    raise Bug(f"cannot fold {failure.type} at position {failure.position}")


def _apply(events: Sequence[Recorded], state: Folds) -> Iterator[Recorded | None]:
    """Fold events one by one; yield those that cannot be folded."""
    for event in events:
        try:
            state.apply(event)
        except Exception:  # noqa: BLE001 (an operator may have let it pass, as the service does)
            yield event
        else:
            yield None

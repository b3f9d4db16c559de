"""Fold what is followed into a state, and tell those who wait for it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, nullcontext
from typing import TYPE_CHECKING, Any

import structlog

from services.chassis import metering, tracing
from services.chassis.errors import Unavailable
from services.chassis.supervision import Together

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from contracts.envelope import Recorded
    from services.chassis.clock import LogClock
    from services.chassis.follower import Follower
    from services.chassis.keeping import Keeper

log = structlog.get_logger(__name__)

SKIPPED = frozenset({"fold.skipped"})
STOPPED_RETRY_S = 2.0


class Folding:
    """Applies every followed event in order; at one it cannot digest it stops and says so.

    Only an operator's recorded `fold.skipped` for this service and position lets it pass.
    keeper: keeps snapshots of what is folded into, and begins with one.
    """

    def __init__(
        self,
        follower: Follower,
        apply: Callable[[Recorded], None],
        log_clock: LogClock,
        *,
        on_stopped: Callable[[str], None] | None = None,
        service: str = "",
        keeper: Keeper[Any] | None = None,
    ) -> None:
        self._keeper = keeper
        self._follower, self._apply, self._clock = follower, apply, log_clock
        self._on_stopped = on_stopped or (lambda _: None)
        self._service = service
        self._changes = 0
        self._seen = 0
        self._waiters: set[asyncio.Future[None]] = set()
        self._skips: frozenset[int] = frozenset()
        self._has_ended = False
        follower.on_moved = self._wake

    @property
    def position(self) -> int:
        """The position everything is folded through."""
        return self._follower.position

    @property
    def is_caught_up(self) -> bool:
        """Whether everything known to be recorded is folded."""
        return self._follower.caught_up

    def now(self) -> datetime:
        """Return the log's time."""
        self._look_at_the_clock()
        return self._clock.now()

    def _look_at_the_clock(self) -> None:
        if self._follower.moment is not None:
            self._clock.observe(self._follower.moment)

    async def run(self) -> None:
        """Fold for ever; when it ends after all, nobody is left waiting."""
        self._has_ended = False
        try:
            with metering.gauge("quartermaster.follower.lag", self._lag):
                if self._keeper is None:
                    await self._follow()
                else:
                    await self._follow_and_keep(self._keeper)
        finally:
            self._has_ended = True
            self._wake()

    def _lag(self) -> list[tuple[float, dict[str, str]]]:
        behind = max(0, self._follower.head - self._follower.position)
        return [(behind, {"quartermaster.follower": self._service})]

    async def _follow_and_keep(self, keeper: Keeper[Any]) -> None:
        moment = await keeper.restore(self._follower)
        if moment is not None:
            self._clock.observe(moment)
            self._changes += 1
        async with Together() as tasks:
            tasks.create_task(keeper.run(self._follower))
            await self._follow()

    async def _follow(self) -> None:
        async with aclosing(self._follower.batches()) as batches:
            async for batch in batches:
                async with self._keeper.folding(batch) if self._keeper else nullcontext():
                    await self._fold_all(batch)

    async def _fold_all(self, batch: Sequence[Recorded]) -> None:
        self._look_at_the_clock()
        for event in batch:
            await self._fold(event)
        self._clock.observe(batch[-1].recorded_at)
        self._changes += 1

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, set()
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Return when the condition holds; it is looked at whenever the position moved.

        Raises Unavailable when the fold ends before.
        """
        while not condition():
            if self._has_ended:
                raise Unavailable("nothing is folded any more")
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    async def _fold(self, event: Recorded) -> None:
        if event.position in self._skips:
            return
        tracing.remember(event)
        try:
            self._apply(event)
        except Exception as error:  # noqa: BLE001 (whatever the fold raises, it stops here)
            await self._stop_at(event, error)

    async def _stop_at(self, event: Recorded, error: Exception) -> None:
        """Stand still, red and loud, until this very event is allowed to pass."""
        detail = f"cannot fold {event.type} at position {event.position}: {error!r}"
        while True:
            self._on_stopped(detail)
            log.error("fold stopped", service=self._service, detail=detail, exc_info=error)
            try:
                self._skips = await recorded_skips(self._follower, self._service)
            except Unavailable as unavailable:
                log.warning("skips cannot be read", because=unavailable.detail)
            if event.position in self._skips:
                self._on_stopped("")
                return
            await asyncio.sleep(STOPPED_RETRY_S)

    async def changed(self, timeout_s: float) -> bool:
        """Return once anything was folded since the last call; False after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._until(lambda: self._changes != self._seen)
        except TimeoutError:
            return False
        self._seen = self._changes
        return True

    async def reach(self, position: int, timeout_s: float = 10.0) -> None:
        """Return when everything through `position` is folded; raises Unavailable after a while."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._until(lambda: self.position >= position)
        except TimeoutError as error:
            raise Unavailable(f"position {position} was not folded in {timeout_s:g} s") from error

    async def caught_up(self) -> None:
        """Return when everything known to be recorded is folded."""
        await self._until(lambda: self._follower.caught_up)


async def recorded_skips(follower: Follower, service: str) -> frozenset[int]:
    """Return the positions that operators let a service pass over; raises Unavailable."""
    skips: set[int] = set()
    through, last = 0, False
    while not last:
        through, events, last = await follower.history(SKIPPED, through)
        skips |= {
            int(event.data["position"]) for event in events if event.data["service"] == service
        }
    return frozenset(skips)

"""Build new versions of read models beside the live ones, and swap them in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from services.chassis import failpoints, ids
from services.chassis.errors import Bug, QuartermasterError, Unavailable
from services.projector.decide import (
    Build,
    Order,
    Plan,
    changed,
    comparable,
    is_current,
    is_met,
    planned,
    unknown,
    unmade,
    verdict,
)
from services.projector.handlers.projecting import POLL_S, Stuck
from services.projector.state import Rewound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from services.chassis.clock import Clock
    from services.projector.decide import BuildState, Difference
    from services.projector.handlers.ports import Builds
    from services.projector.handlers.projecting import Projector

log = structlog.get_logger(__name__)

NEAR = 5_000  # events that the live tables may be ahead of a build when it joins them
SWAP_RETRY_S = 0.3
LOCK_NOT_AVAILABLE = "55P03"
SWEEP_S = 30.0
PART = "rebuild"


class Rebuilder:
    """Carries out orders to rebuild, and rebuilds what today's projections did not make.

    today: the fingerprint of every read model. builder: makes the projector of a build's tables.
    grace_s: how long tables that were replaced are kept.
    """

    def __init__(
        self,
        live: Projector,
        builds: Builds,
        builder: Callable[[Build], Projector],
        today: Mapping[str, str],
        clock: Clock,
        *,
        grace_s: float,
        report: Callable[[str, bool, str], None],
    ) -> None:
        self._live, self._builds, self._builder, self._today = live, builds, builder, today
        self._clock, self._grace_s = clock, grace_s
        self._report = report
        self._swept_at: float | None = None

    async def begin(self) -> None:
        """Know, before anything is projected, what today's projections did not make."""
        await self._builds.settle(self._today)
        await self._expect()

    async def run(self) -> None:
        """Rebuild for ever whatever is to be rebuilt."""
        await self._begin_changed()
        while True:
            await self.look()
            await self._clock.sleep(POLL_S)

    async def look(self) -> None:
        """Finish what was begun, carry out what is asked, drop what is no longer needed."""
        if (build := await self._builds.unfinished()) is not None:
            await self._go_on(build)
        if self._live.rewound is not None:
            await self._after_rewind()
        else:
            for order in await self._builds.orders():
                await self._carry_out(order)
        await self._sweep()

    async def _begin_changed(self) -> None:
        """Begin a build of what is outdated, if no build that was interrupted makes it."""
        begun = await self._builds.unfinished()
        if begun is not None:
            await self._go_on(begun)
        if models := changed(await self._builds.made(), self._today):
            log.warning("projections have changed: rebuilding", models=sorted(models))
            await self._go_on(
                await self._builds.begin(Plan(ids.new_id("rebuild"), "changed", models))
            )

    async def _carry_out(self, order: Order) -> None:
        plan = planned(order, order.because, self._today)
        problem = unknown(order, self._today)
        if problem or is_met(order, await self._builds.made(), self._today):
            await self._builds.answer(plan, problem)
            log.info("no rebuild", rebuild=order.rebuild_id, because=problem or "it is done")
            return
        await self._go_on(await self._builds.begin(plan))

    async def _after_rewind(self) -> None:
        """The live read models are of a log that is gone: make all anew, once that is asked."""
        orders = await self._builds.orders_after_rewind()
        for order in (each for each in orders if not each.only_compare):
            everything = Order(order.rebuild_id, order.position, ())
            await self._go_on(await self._builds.begin(planned(everything, "rewound", self._today)))
            return

    async def _go_on(self, build: Build) -> None:
        """Bring a build to its end; a failure is told, and the live read models go on."""
        log.info("rebuilding", build=build.number, models=sorted(build.models))
        try:
            if not is_current(build, self._today):
                raise Bug("the projections were changed again while it was made")
            differences = await self._make(build)
        except Unavailable:
            raise
        except (QuartermasterError, Rewound) as error:
            detail = error.detail if isinstance(error, QuartermasterError) else str(error)
            await self._builds.give_up(build, detail)
            self._report(PART, False, f"build {build.number} failed: {detail}")
            log.error("rebuild failed", build=build.number, because=detail)  # noqa: TRY400
            return
        told = verdict(build, differences)
        became = "compared" if build.because == "compared" else "live"
        self._report(PART, told is None, told or f"build {build.number} is {became}")
        (log.error if told else log.info)("rebuilt", build=build.number, differences=told)

    async def _make(self, build: Build) -> Sequence[Difference]:
        """Fill, join, compare, swap; return what differed. Every step can be done again."""
        made = self._builder(build)
        await self._fill(build, made, "building")
        await failpoints.reach(failpoints.REBUILD_FILLED)
        await self._builds.tell(build, "indexing")
        await self._builds.index(build)
        await self._fill(build, made, "indexing")
        await self._builds.trim(build)
        same = comparable(build, await self._builds.made())
        if build.because == "rewound":
            await self._builds.tell(build, "swapping")
            await self._swap(build, made, ())
            return ()
        await self._join(build, made, same)
        try:
            await self._builds.tell(build, "comparing")
            differences = await self._builds.differences(build, same)
            if build.because == "compared":
                await self._conclude(build, made, differences)
                return differences
            await self._builds.tell(build, "swapping")
            await failpoints.reach(failpoints.REBUILD_COMPARED)
            await self._swap(build, made, differences)
        except BaseException:
            async with self._live.still():
                self._live.part(made.tables)
            raise
        return differences

    async def _fill(self, build: Build, made: Projector, state: BuildState) -> None:
        """Fold until the live ones are near; at an event that cannot be digested, as they do."""
        while True:
            until = await self._limit(build)
            try:
                await self._builds.tell(build, state)
                await made.catch_up(until)
            except Stuck as error:
                self._report(PART, False, error.detail)
                await self._builds.tell(build, state, error.detail)
                await self._clock.sleep(POLL_S)
                continue
            limit = await self._limit(build)
            if until is None or limit is None or limit - until < NEAR:
                return

    async def _limit(self, build: Build) -> int | None:
        """Return how far a build may go: as far as the live ones, or the whole of another log."""
        if build.because == "rewound":
            return None
        return (await self._live.tables.read_models.checkpoint()).position

    async def _join(self, build: Build, made: Projector, same: Sequence[str]) -> None:
        """Bring a build to where the live ones stand; from here on both move together."""
        async with self._live.still():
            await made.catch_up(await self._limit(build))
            await self._builds.carry_over(build, same)
            await self._builds.trim(build)
            self._live.join(made.tables)

    async def _swap(self, build: Build, made: Projector, differences: Sequence[Difference]) -> None:
        """Swap between two batches; readers who are at it go first."""
        rewound = build.because == "rewound"
        while True:
            async with self._live.still():
                try:
                    await self._builds.swap_in(build, differences, rewound=rewound)
                except Unavailable as error:
                    if error.numbers.get("sqlstate") != LOCK_NOT_AVAILABLE:
                        raise
                else:
                    self._live.part(made.tables)
                    self._live.forget()
                    await self._expect()
                    return
            await self._clock.sleep(SWAP_RETRY_S)

    async def _conclude(
        self, build: Build, made: Projector, differences: Sequence[Difference]
    ) -> None:
        """Go on without what was only made to be compared."""
        async with self._live.still():
            self._live.part(made.tables)
        await self._builds.conclude(build, differences)

    async def _expect(self) -> None:
        """Tell the live projector which models wait for their build."""
        made = await self._builds.made()
        new = unmade(made, self._today)
        outdated = changed(made, self._today).keys() - new
        self._live.tables.folder.expect(outdated=outdated, unmade=new)

    async def _sweep(self) -> None:
        now = self._clock.monotonic()
        if self._swept_at is not None and now - self._swept_at < SWEEP_S:
            return
        self._swept_at = now
        try:
            dropped = await self._builds.drop_replaced(self._grace_s)
        except Unavailable as error:
            log.info("replaced tables are still in use", because=error.detail)
        else:
            if dropped:
                log.info("replaced tables are dropped", tables=dropped)

"""The projector, wired: the log is read, folded, and written to the read models, live and anew."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.chassis import metering
from services.chassis.bus import connect
from services.chassis.database import Database, connect_pool
from services.chassis.errors import Unavailable
from services.chassis.run import Context, run
from services.chassis.supervision import Together, one_failure
from services.projector.adapters.builds import PostgresBuilds
from services.projector.adapters.log import LogReader
from services.projector.adapters.read_models import PostgresReadModels
from services.projector.adapters.sources import fingerprints
from services.projector.adapters.wakeup import BusWakeup
from services.projector.handlers import BATCH, Projector, Rebuilder
from services.projector.handlers.folder import CACHED_ROWS
from services.projector.projections import READ_MODELS
from services.projector.settings import Settings
from services.projector.state import Series, forgetful, wanted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from services.chassis.clock import Clock
    from services.projector.decide import Build

SERVICE = "projector"
RETRY_S = 1.0
CONNECTIONS = 6  # live: read, write, being alone; a build: read, write, its own state
WIDER = 4  # nobody waits for a build's batch: fewer, and more of what overtakes itself in one
LONG_S = 3600.0  # an index over millions of rows, or a comparison of them


@dataclass(frozen=True)
class Sizes:
    """How much is done at once, and how much is kept."""

    batch: int = BATCH
    build_batch: int = WIDER * BATCH
    series_length: int = 1_000
    cached: int = CACHED_ROWS
    grace_s: float = 600.0


class Parts:
    """The parts of a projector over one database."""

    def __init__(
        self, database: Database, sizes: Sizes, today: Mapping[str, str] | None = None
    ) -> None:
        self._database, self._sizes = database, sizes
        self.today = fingerprints(READ_MODELS) if today is None else today
        self.read_models = PostgresReadModels(database, series_length=sizes.series_length)
        self.builds = PostgresBuilds(
            database,
            trimmed=[
                each.name for each in READ_MODELS if isinstance(each, Series) and each.trimmed
            ],
            series_length=sizes.series_length,
            forgetful=[each.name for each in READ_MODELS if forgetful(each)],
        )
        log = LogReader(database, wanted(READ_MODELS), service=SERVICE)
        self.live = Projector(log, self.read_models, batch=sizes.batch, cached=sizes.cached)

    def rebuilder(self, clock: Clock, report: Callable[[str, bool, str], None]) -> Rebuilder:
        """Return what rebuilds beside the live projector."""
        return Rebuilder(
            self.live,
            self.builds,
            self._of_build,
            self.today,
            clock,
            grace_s=self._sizes.grace_s,
            report=report,
        )

    def _of_build(self, build: Build) -> Projector:
        models = [model for model in READ_MODELS if model.name in build.models]
        length = self._sizes.series_length
        return Projector(
            LogReader(self._database, wanted(models), service=SERVICE, keeps=length),
            PostgresReadModels(self._database, series_length=length, build=build.number),
            batch=self._sizes.build_batch,
            models=models,
            cached=self._sizes.cached,
        )


async def main(context: Context) -> None:
    """Project until told to stop; a lost database is waited for, another projector is not."""
    settings = Settings()
    wakeup = BusWakeup(lambda: connect(SERVICE, settings.amqp_url), SERVICE)
    database = await connect_pool(
        settings.database_url, service=SERVICE, max_size=CONNECTIONS, command_timeout_s=LONG_S
    )
    try:
        with one_failure():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(wakeup.run())
                tasks.create_task(_project(context, _sizes(settings), database, wakeup))
    finally:
        await database.close()


def _sizes(settings: Settings) -> Sizes:
    return Sizes(
        batch=settings.batch,
        build_batch=settings.batch * WIDER,
        series_length=settings.queue_history_max_length,
        cached=settings.cached_rows,
        grace_s=settings.replaced_kept_s,
    )


async def _project(context: Context, sizes: Sizes, database: Database, wakeup: BusWakeup) -> None:
    while True:
        parts = Parts(database, sizes)
        rebuilder = parts.rebuilder(context.clock, context.health.report)
        try:
            async with parts.read_models.alone():
                await rebuilder.begin()
                async with _lag_shown(parts.live, wakeup), Together() as tasks:
                    tasks.create_task(parts.live.run(wakeup, context.clock, context.health.report))
                    tasks.create_task(rebuilder.run())
        except Unavailable as error:
            context.health.report("projection", False, error.detail)
            context.log.warning("the database does not answer", detail=error.detail)
            await context.clock.sleep(RETRY_S)


@asynccontextmanager
async def _lag_shown(live: Projector, wakeup: BusWakeup) -> AsyncIterator[None]:
    def lag() -> metering.Readings:
        behind = max(0, wakeup.head - live.position)
        return [(behind, {"quartermaster.follower": SERVICE})]

    with metering.gauge("quartermaster.follower.lag", lag):
        yield


async def project_all(
    database: Database, *, batch: int = BATCH, queue_history_max_length: int = 1_000
) -> int:
    """Project everything recorded by now and return how many events that were."""
    parts = Parts(database, Sizes(batch=batch, series_length=queue_history_max_length))
    await parts.builds.settle(parts.today)
    return await parts.live.catch_up()


def start() -> int:
    """Run the projector in this process."""
    return run(SERVICE, main)

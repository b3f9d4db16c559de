"""The projector, wired: the log is read, folded, and written to the read models."""

from __future__ import annotations

import asyncio

from services.chassis.bus import connect
from services.chassis.database import Database, connect_pool
from services.chassis.errors import Unavailable
from services.chassis.run import Context, run
from services.chassis.supervision import one_failure
from services.projector.adapters.log import LogReader
from services.projector.adapters.read_models import PostgresReadModels
from services.projector.adapters.wakeup import BusWakeup
from services.projector.handlers import BATCH, Projector
from services.projector.projections import TYPES
from services.projector.settings import Settings

SERVICE = "projector"
RETRY_S = 1.0


async def main(context: Context) -> None:
    """Project until told to stop; a lost database is waited for, another projector is not."""
    settings = Settings()
    wakeup = BusWakeup(lambda: connect(SERVICE, settings.amqp_url), SERVICE)
    database = await connect_pool(settings.database_url, service=SERVICE, max_size=3)
    try:
        with one_failure():
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(wakeup.run())
                tasks.create_task(_project(context, settings, database, wakeup))
    finally:
        await database.close()


async def _project(
    context: Context, settings: Settings, database: Database, wakeup: BusWakeup
) -> None:
    read_models = PostgresReadModels(database, series_length=settings.queue_history_max_length)
    log = LogReader(database, TYPES, service=SERVICE)
    projector = Projector(log, read_models, batch=settings.batch)
    while True:
        try:
            async with read_models.alone():
                await projector.run(wakeup, context.clock, context.health.report)
        except Unavailable as error:
            context.health.report("projection", False, error.detail)
            context.log.warning("the database does not answer", detail=error.detail)
            await context.clock.sleep(RETRY_S)


async def project_all(
    database: Database, *, batch: int = BATCH, queue_history_max_length: int = 1_000
) -> int:
    """Project everything recorded by now and return how many events that were."""
    read_models = PostgresReadModels(database, series_length=queue_history_max_length)
    projector = Projector(LogReader(database, TYPES, service=SERVICE), read_models, batch=batch)
    return await projector.catch_up()


def start() -> int:
    """Run the projector in this process."""
    return run(SERVICE, main)

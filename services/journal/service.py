"""Wiring of the journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.chassis import bus
from services.chassis.database import connect_pool
from services.chassis.errors import Unavailable
from services.chassis.run import run
from services.journal.adapters.postgres import PostgresLog
from services.journal.handlers import Journal
from services.journal.settings import Settings

if TYPE_CHECKING:
    from services.chassis.run import Context

RETRY_S = 0.5


async def main(context: Context) -> None:
    """Declare the topology, then append, publish and answer until told to stop."""
    settings = Settings()  # pyright: ignore[reportCallIssue]
    await _declare(context, settings.amqp_url)
    broker = await bus.connect("journal", settings.amqp_url)
    database = await connect_pool(settings.database_url, service="journal", min_size=2, max_size=8)
    try:
        log = PostgresLog(database)
        await Journal(broker, log, context.clock, context.health.report).run()
    finally:
        await broker.close()
        await database.close()


async def _declare(context: Context, url: str) -> None:
    while True:
        try:
            return await bus.declare(url)
        except Unavailable as error:
            context.log.info("declaring again", because=error.detail)
            await context.clock.sleep(RETRY_S)


def start() -> int:
    """Run the journal in this process."""
    return run("journal", main)

"""The query service, wired: named SQL over a pool that may only read, served as HTTP."""

from __future__ import annotations

from services.chassis.database import connect_pool
from services.chassis.http import serve
from services.chassis.run import Context, run
from services.query.adapters.checkpoint import CheckpointWatch
from services.query.adapters.events import DatabaseEvents
from services.query.adapters.reader import DatabaseReader
from services.query.handlers import TimeMachine
from services.query.routes import application, history
from services.query.settings import Settings

SERVICE = "query"
STATEMENT_TIMEOUT_S = 10.0
ACQUIRE_S = 5.0  # with the statement's own time it is what the gateway waits for an answer


async def main(context: Context) -> None:
    """Serve until told to stop."""
    settings = Settings()
    database = await connect_pool(
        settings.database_url,
        service=SERVICE,
        max_size=settings.connections,
        command_timeout_s=STATEMENT_TIMEOUT_S,
        acquire_s=ACQUIRE_S,
    )
    try:
        checkpoint = CheckpointWatch(database, wait_s=settings.min_position_wait_s)
        samples_kept = settings.queue_history_max_length
        reader = DatabaseReader(database, checkpoint, samples_kept=samples_kept)
        machine = TimeMachine(DatabaseEvents(database, checkpoint))
        app = application(reader, history.routes(reader, machine))
        context.log.info("listening", host=settings.http_host, port=settings.http_port)
        await serve(app, settings.http_host, settings.http_port, context.stop)
    finally:
        await database.close()


def start() -> int:
    """Run the query service in this process."""
    return run(SERVICE, main)

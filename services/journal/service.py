"""Wiring of the journal."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from services.chassis import bus
from services.chassis.database import connect_pool
from services.chassis.errors import Unavailable
from services.chassis.run import run
from services.journal.adapters.backup_directory import Directory, below
from services.journal.adapters.postgres import PostgresLog
from services.journal.adapters.postgres_board import PostgresBoard
from services.journal.adapters.postgres_copies import PostgresSource
from services.journal.adapters.postgres_window import PostgresWindow
from services.journal.adapters.workers import worker
from services.journal.backup import backup
from services.journal.handlers import Forgetting, Journal
from services.journal.jobs import Jobs, work
from services.journal.settings import Settings
from services.journal.stats import stats
from services.journal.verify import verify

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from services.chassis.database import Database
    from services.chassis.run import Context
    from services.journal.jobs import Kind
    from services.journal.records import Tell

RETRY_S = 0.5


async def main(context: Context) -> None:
    """Declare the topology, then append, publish and answer until told to stop."""
    settings = Settings()  # pyright: ignore[reportCallIssue]
    await _declare(context, settings.amqp_url)
    broker = await bus.connect("journal", settings.amqp_url)
    database = await connect_pool(settings.database_url, service="journal", min_size=2, max_size=8)
    try:
        log = PostgresLog(database)
        forgetting = Forgetting(PostgresWindow(database), settings.telemetry_window_days)
        jobs = Jobs(PostgresBoard(database), worker)
        await Journal(
            broker,
            log,
            context.clock,
            context.health.report,
            forgetting=forgetting,
            jobs_=jobs,
        ).run()
    finally:
        await broker.close()
        await database.close()


async def do(job_id: str) -> None:
    """Do one job, in a process of its own: what takes long must not slow appends down."""
    settings = Settings()  # pyright: ignore[reportCallIssue]
    database = await connect_pool(
        settings.database_url,
        service="journal-job",
        min_size=2,
        max_size=4,
        command_timeout_s=STATEMENT_S,
    )
    try:
        await work(PostgresBoard(database), kinds(database, settings.backup_dir), job_id)
    finally:
        await database.close()


STATEMENT_S = 300.0


def kinds(database: Database, backup_dir: Path | None) -> dict[str, Kind]:
    """Return what each kind of job does."""
    log = PostgresLog(database)

    async def verifying(_: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
        return (await verify(log, tell)).as_dict()

    async def counting(_: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
        return await stats(log, tell)

    async def backing_up(parameters: Mapping[str, Any], tell: Tell) -> dict[str, Any]:
        return await back_up(database, below(backup_dir, parameters["directory"]), tell)

    return {"verify": verifying, "stats": counting, "backup": backing_up}


async def back_up(database: Database, path: Path, tell: Tell, *extra: str) -> dict[str, Any]:
    """Back the log up into a directory and return what is in it."""
    files = Directory(path)
    await asyncio.to_thread(files.prepare)
    manifest = await backup(PostgresSource(database, files), files, tell, extra=extra)
    return {
        "directory": str(path),
        "position": manifest.head.position,
        "event_id": manifest.head.event_id,
        "hash": manifest.head.facts_hash,
        "events": manifest.events,
        "bytes": sum(chunk.bytes for chunk in manifest.chunks),
        "files": len(manifest.chunks) + 1,
    }


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

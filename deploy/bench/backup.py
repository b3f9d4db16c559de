"""`just bench backup`: a long log verified, backed up and restored elsewhere; what it all takes."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from deploy.bench.engines import fresh_engines
from deploy.bench.restart import fill
from deploy.bench.sizes import MILLION, Sizes, sizes
from deploy.bench.table import last_line, show
from deploy.local.access import OWNER
from deploy.local.engines import Engines, postgres
from services.chassis.database import Database, connect_pool
from services.journal.adapters.postgres import PostgresLog
from services.journal.verify import verify

T = TypeVar("T")

EVENTS = 300_000
BESIDE = "restored"
STATEMENT_S = 600.0


def main(arguments: Sequence[str]) -> None:
    """Fill a log and project it, then measure; `events=N` for another length of the log."""
    given = dict(argument.split("=", 1) for argument in arguments)
    with fresh_engines() as running, TemporaryDirectory(prefix="qm-bench-") as directory:
        found = asyncio.run(_filled(running, int(given.get("events", EVENTS))))
        rates = asyncio.run(measured(running, Path(directory) / "backup"))
    _report(found, rates)


@dataclass(frozen=True)
class Rates:
    """Events a second that are verified, backed up and restored; bytes of backup per event."""

    verified: float
    backed_up: float
    restored: float
    backup_bytes: float


async def measured(running: Engines, directory: Path) -> Rates:
    """Verify the log of these engines, back it up, restore it into a database beside it."""
    # A whole service is imported only when it is measured.
    from services.journal.adapters.backup_directory import Directory  # noqa: PLC0415
    from services.journal.adapters.postgres_copies import PostgresTarget  # noqa: PLC0415
    from services.journal.restore import Wish, restore  # noqa: PLC0415
    from services.journal.service import back_up  # noqa: PLC0415

    there = _beside(running)
    source, target = await _connected(running.owner_url()), await _connected(there)
    verified_s, report = await _timed(verify(PostgresLog(source)))
    copied_s, made = await _timed(back_up(source, directory, lambda *_: None))
    wish = Wish()
    restored_s, back = await _timed(
        restore(Directory(directory), PostgresTarget(target, there), wish)
    )
    for database in (source, target):
        await database.close()
    if not report.ok or not back["ok"] or back["hash"] != report.hash:
        sys.exit(f"not the same log: {report.problem} {back['problem']}")
    events = made["events"]
    return Rates(
        events / verified_s, events / copied_s, events / restored_s, made["bytes"] / events
    )


def _beside(running: Engines) -> str:
    sql = f"create database {BESIDE} owner {OWNER}"
    postgres(running.state).query(sql, "postgres")
    return f"{running.owner_url().rsplit('/', 1)[0]}/{BESIDE}"


async def _connected(url: str) -> Database:
    return await connect_pool(url, service="bench", max_size=4, command_timeout_s=STATEMENT_S)


async def _timed(work: Awaitable[T]) -> tuple[float, T]:
    begun = time.perf_counter()
    done = await work
    return time.perf_counter() - begun, done


async def _filled(engines: Engines, events: int) -> Sizes:
    from services.projector.service import project_all  # noqa: PLC0415 (imports a whole service)

    owner = await _connected(engines.owner_url())
    await fill(PostgresLog(owner), events)
    await project_all(owner)
    await owner.execute("vacuum analyze")
    found = await sizes(owner)
    await owner.close()
    return found


def _report(found: Sizes, rates: Rates) -> None:
    rows = [(name, size / MILLION, size / found.events) for name, size in found.tables.items()]
    show(f"{found.events:,} events on disk", ("table", "MB", "bytes an event"), rows[:12])
    show(
        "the whole log at once",
        ("work", "events a second"),
        [
            ("verified", rates.verified),
            ("backed up", rates.backed_up),
            ("restored, verification included", rates.restored),
        ],
    )
    last_line(_results(found, rates))


def _results(found: Sizes, rates: Rates) -> Mapping[str, float]:
    return {
        "events": found.events,
        "verified_per_s": round(rates.verified),
        "backed_up_per_s": round(rates.backed_up),
        "restored_per_s": round(rates.restored),
        "backup_bytes_per_event": round(rates.backup_bytes, 1),
        "log_bytes_per_million": found.log,
        "read_model_bytes_per_million": found.read_models,
    }

"""`python -m services.journal`: a job as its worker, or work at the database itself.

Progress and the outcome are lines of JSON on standard output. The database is named as its owner
by QM_OWNER_DATABASE_URL, for a worker by the journal's own settings.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from services.chassis import logging
from services.chassis.clock import SystemClock
from services.chassis.database import connect_pool
from services.chassis.errors import QuartermasterError, Refused
from services.chassis.migrations import URL_VARIABLE
from services.journal.adapters.backup_directory import Directory
from services.journal.adapters.postgres_copies import PostgresTarget
from services.journal.backup import SECRETS, Damaged
from services.journal.restore import Wish, accept_rewind, restore
from services.journal.service import STATEMENT_S, back_up, do

if TYPE_CHECKING:
    from collections.abc import Coroutine

UNSOUND, REFUSED, UNAVAILABLE = 1, 2, 3
EVERY_S = 0.2


class Telling:
    """Writes progress as lines, not more often than anybody looks."""

    def __init__(self) -> None:
        self._clock, self._told_at = SystemClock(), 0.0

    def __call__(self, done: int, total: int, what: str) -> None:
        """Tell how far the work is."""
        now = self._clock.monotonic()
        if done == total or now - self._told_at >= EVERY_S:
            self._told_at = now
            say(progress={"done": done, "total": total, "what": what})


def say(**said: Any) -> None:
    """Write one line."""
    sys.stdout.write(orjson.dumps(said).decode() + "\n")
    sys.stdout.flush()


async def backing_up(url: str, directory: Path, *, with_secrets: bool) -> int:
    """Back up from a database."""
    database = await connect_pool(url, service="backup", command_timeout_s=STATEMENT_S)
    try:
        extra = (SECRETS,) if with_secrets else ()
        say(result=await back_up(database, directory, Telling(), *extra))
    finally:
        await database.close()
    return 0


async def restoring(url: str, directory: Path, wish: Wish) -> int:
    """Restore into a database; 1 when the restored log does not verify."""
    database = await connect_pool(url, service="restore", command_timeout_s=STATEMENT_S)
    try:
        report = await restore(Directory(directory), PostgresTarget(database, url), wish, Telling())
    finally:
        await database.close()
    say(result=report)
    return 0 if report["ok"] or report["rewinds"] else UNSOUND


async def accepting(url: str) -> int:
    """Accept that a log was rewound where it is, so that the journal starts on it."""
    database = await connect_pool(url, service="restore")
    try:
        say(result=await accept_rewind(PostgresTarget(database, url)))
    finally:
        await database.close()
    return 0


async def while_wanted(work: Coroutine[Any, Any, Any]) -> int:
    """Do the work until it ends or whoever started this process is gone."""
    working = asyncio.ensure_future(work)
    loop, pipe = asyncio.get_running_loop(), sys.stdin.fileno()

    def look() -> None:
        if not os.read(pipe, 1024):
            loop.remove_reader(pipe)
            working.cancel()

    loop.add_reader(pipe, look)
    try:
        await working
    finally:
        loop.remove_reader(pipe)
    return 0


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m services.journal")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("work").add_argument("job_id")
    commands.add_parser("accept-rewind")
    backup, restore_ = commands.add_parser("backup"), commands.add_parser("restore")
    for command in (backup, restore_):
        command.add_argument("directory", type=Path)
        command.add_argument("--with-secrets", action="store_true")
    restore_.add_argument("--accept-rewind", action="store_true")
    return parser.parse_args()


def asked(given: argparse.Namespace) -> Coroutine[Any, Any, int]:
    """Return the work that is asked for; raises Refused without a database."""
    if given.command == "work":
        return while_wanted(do(given.job_id))
    url = os.environ.get(URL_VARIABLE)
    if not url:
        raise Refused(f"{URL_VARIABLE} is not set: it names the database as its owner")
    if given.command == "accept-rewind":
        return accepting(url)
    if given.command == "backup":
        return backing_up(url, given.directory, with_secrets=given.with_secrets)
    return restoring(url, given.directory, Wish(given.accept_rewind, given.with_secrets))


def code(error: QuartermasterError) -> int:
    """Return the exit code that says whose fault it is."""
    if error.status >= 500:  # noqa: PLR2004 (where HTTP begins to blame the other side)
        return UNAVAILABLE
    return UNSOUND if isinstance(error, Damaged) else REFUSED


def main() -> int:
    """Do what the command line asks for and return the exit code."""
    logging.configure("journal-job", os.environ.get("LOG_LEVEL", "INFO").upper())
    try:
        return asyncio.run(asked(arguments()))
    except QuartermasterError as error:
        say(problem=error.detail)
        return code(error)
    except asyncio.CancelledError:
        return UNAVAILABLE


if __name__ == "__main__":
    sys.exit(main())

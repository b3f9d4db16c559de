"""`just bench restart`: from a scheduler's start to its control, with and without snapshots."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from deploy.bench.engines import ROOT, fresh_engines, service
from deploy.bench.lives import command, lives, registered
from deploy.bench.table import last_line, middle, show
from deploy.local.engines import Engines
from services.chassis import bus
from services.chassis.clock import SystemClock
from services.chassis.database import connect_pool
from services.chassis.errors import Unavailable
from services.chassis.follower import Follower
from services.journal.adapters.postgres import PostgresLog

EVENTS = 1_000_000
WITHOUT, WITH = 1, 3
DEADLINE_S = 900.0
POLL_S = 0.1
DECIDED = frozenset({"instance.start_requested", "model.floor_unmet"})


def main(arguments: Sequence[str]) -> None:
    """Fill a log, then start schedulers; `events=N` for another length of the log."""
    given = dict(argument.split("=", 1) for argument in arguments)
    with fresh_engines() as engines:
        asyncio.run(run(engines, int(given.get("events", EVENTS))))


async def run(engines: Engines, events: int) -> None:
    """Measure starts without snapshots, the first with them, and those that find one."""
    database = await connect_pool(
        engines.urls("journal")["QM_DATABASE_URL"], service="bench", min_size=1, max_size=2
    )
    log = PostgresLog(database)
    await fill(log, events)
    with service("journal", engines.urls("journal")):
        trials = Trials(engines, log)
        without = [await trials.start({"QM_SNAPSHOT_EVERY_EVENTS": "0"}) for _ in range(WITHOUT)]
        first = await trials.start({}, until_kept=True)
        found = [await trials.start({}) for _ in range(WITH)]
        report(events, without, first, found, trials.told)
    await database.close()


async def fill(log: PostgresLog, events: int) -> None:
    """Append the events, and put the publisher's cursor behind them."""
    begun = time.perf_counter()
    await log.make_partitions()
    for commands in lives(events):
        await log.append(commands)
    head = await log.head()
    await log.move_cursor(0, head.position, head.event_id or "")
    took = time.perf_counter() - begun
    print(f"... {head.position:,} events appended in {took:.0f} s", file=sys.stderr, flush=True)


class Trials:
    """Starts schedulers one after another, each with something new to decide."""

    def __init__(self, engines: Engines, log: PostgresLog) -> None:
        self._engines, self._log = engines, log
        self._number = 0
        self.told: list[dict[str, Any]] = []

    async def start(self, settings: dict[str, str], *, until_kept: bool = False) -> float:
        """Return the seconds from the start of a process to its first decision being recorded."""
        self._number += 1
        model_id = f"trial-{self._number}"
        await self._log.append([command(registered(model_id, floor=1))])
        connection = await bus.connect("demo", self._engines.amqp_url("demo"))
        follower = Follower(connection, "demo", DECIDED, SystemClock())
        head = await self._log.head()
        follower.begin_at(head.position, head.event_id or "", None)
        await _journal_answers(follower, head.position)
        begun = time.perf_counter()
        with self._scheduler(settings) as told:
            async with asyncio.timeout(DEADLINE_S):
                await _decided(follower, model_id)
                took = time.perf_counter() - begun
                if until_kept:
                    await _kept(told, head.position)
            self.told += _lines(told, "snapshot kept") + _lines(told, "snapshot restored")
        await connection.close()
        print(f"... control after {took:.2f} s", file=sys.stderr, flush=True)
        return took

    @contextmanager
    def _scheduler(self, settings: dict[str, str]) -> Iterator[Path]:
        with tempfile.NamedTemporaryFile(suffix=".log") as told:
            urls = self._engines.urls("scheduler")
            process = subprocess.Popen(
                [sys.executable, "-m", "services", "scheduler"],
                cwd=ROOT,
                env={**os.environ, "LOG_LEVEL": "INFO", **urls, **settings},
                stdout=told,
                stderr=subprocess.STDOUT,
            )
            try:
                yield Path(told.name)
            finally:
                process.terminate()
                process.wait(20)


async def _journal_answers(follower: Follower, head: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with suppress(Unavailable):
                await follower.history(DECIDED, head)
                return
            await asyncio.sleep(POLL_S)


async def _decided(follower: Follower, model_id: str) -> None:
    async for batch in follower.batches():
        if any(event.data["model_id"] == model_id for event in batch):
            return


async def _kept(told: Path, position: int) -> None:
    """Return when a snapshot is kept of that position or a later one."""
    while not any(each["position"] >= position for each in _lines(told, "snapshot kept")):  # noqa: ASYNC110 (a file is another process's word)
        await asyncio.sleep(POLL_S)


def _lines(told: Path, event: str) -> list[dict[str, Any]]:
    found = []
    for line in told.read_text().splitlines():
        with suppress(json.JSONDecodeError):
            said = json.loads(line)
            if said.get("event") == event:
                found.append(said)
    return found


def report(
    events: int,
    without: list[float],
    first: float,
    found: list[float],
    told: list[dict[str, Any]],
) -> None:
    """Print it."""
    kept = [each for each in told if each["event"] == "snapshot kept"]
    restored = [each for each in told if each["event"] == "snapshot restored"]
    held = [float(each["held_ms"]) for each in kept]
    rows: list[tuple[str, float]] = [
        ("without snapshots, to the first decision (s)", middle(without)),
        ("with them, the first time (s)", first),
        ("with one to begin with (s)", middle(found)),
        ("fold held while freezing, middle (ms)", middle(held)),
        ("fold held while freezing, longest (ms)", max(held)),
        ("thawed in (ms)", middle([float(each["took_ms"]) for each in restored])),
        ("snapshot, plain (KiB)", kept[-1]["plain_bytes"] / 1024),
        ("snapshot, packed (KiB)", kept[-1]["packed_bytes"] / 1024),
    ]
    show(f"A scheduler's start with a log of {events:,} events", ("what", "value"), rows)
    last_line({name: round(value, 3) for name, value in rows} | {"kept": len(kept)})

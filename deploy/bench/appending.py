"""The appenders compared: ours, PyPI's eventsourcing, plain COPY, and ours without each feature."""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from deploy.local.engines import Engines
from services.chassis.clock import SystemClock
from services.chassis.database import connect_pool
from services.chassis.ids import uuid7
from services.journal.adapters import postgres
from services.journal.adapters.postgres import PostgresLog
from services.journal.append import GroupAppender
from services.journal.records import Command, Entry
from services.journal.validate import judge

CHAINED = re.compile(r"bare\.chain\(bare\.place.*?unbounded preceding\)", re.DOTALL)
_MADE = Path(__file__).parents[1] / "postgres" / "migrations"
MIGRATIONS = (_MADE / "0001_log.sql", _MADE / "0019_log_time.sql")
TEXT = "x" * 440
DATA = f'{{"environment_id":"e","name":"n","description":"{TEXT}"}}'  # 500 bytes with its keys
META = '{"actor":"bench","occurred_at":"2026-01-01T00:00:00Z","proposer":"gateway"}'
BATCH_CALLERS, BATCH = 4, 100
SINGLE_CALLERS = 128
ROUND_S = 1.2

Append = Callable[[int], Awaitable[None]]


@dataclass
class Case:
    """One way to append: `append(n)` returns when n events are durable."""

    name: str
    append: Append
    callers: int
    batch: int
    rates: list[float] = field(default_factory=list)

    async def measure(self) -> None:
        """Let all callers append for one round and note the rate (events/s)."""
        begun, stop, done = time.perf_counter(), time.perf_counter() + ROUND_S, 0

        async def call() -> None:
            nonlocal done
            while time.perf_counter() < stop:
                await self.append(self.batch)
                done += self.batch

        await asyncio.gather(*(call() for _ in range(self.callers)))
        self.rates.append(done / (time.perf_counter() - begun))


def proposal(count: int, *, telemetry: bool = False) -> Command:
    """Return one proposal of so many events, in a stream of its own."""
    stream = f"environment/{uuid7()}"
    return Command(
        tuple(
            Entry(uuid7(), stream, "environment.created", 1, DATA, META, telemetry)
            for _ in range(count)
        )
    )


class _WithoutChain(PostgresLog):
    """The same log in a schema whose append function makes no hashes."""

    async def append(self, commands: Any, not_before: Any = None) -> Any:
        sql = postgres.QUERIES["append"].replace("log.append", "bare.append")
        rows = await self._database.fetch(sql, *postgres.arguments(commands), not_before)
        return rows[0]["positions"][: len(commands)]


async def grouped(log: Any, *, telemetry: bool = False, validated: bool = False) -> Append:
    """Return the append of our group appender on a log."""
    appender = GroupAppender(log, SystemClock())
    appender_task = asyncio.create_task(appender.run())
    _RUNNING.append(appender_task)

    async def append(count: int) -> None:
        command = _judged(count) if validated else proposal(count, telemetry=telemetry)
        await appender.append([command])

    return append


_RUNNING: list[asyncio.Task[None]] = []


def _judged(count: int) -> Command:
    """Return a proposal as the journal gets it: judged by the catalogue."""
    now = datetime.now(UTC)
    data = {"environment_id": "e", "name": "n", "description": TEXT}
    event = {
        "stream": f"environment/{uuid7()}",
        "type": "environment.created",
        "data": data,
        "occurred_at": now,
        "actor": "bench",
    }
    events = [{**event, "event_id": uuid7()} for _ in range(count)]
    command = judge({"events": events}, "gateway", now)
    if not isinstance(command, Command):
        raise TypeError(command.detail)
    return command


def eventsourcing_recorder(url: str, connections: int) -> PostgresApplicationRecorder:
    """Return the recorder in its lossless default mode, on a table of its own."""
    parts = urlsplit(url)
    datastore = PostgresDatastore(
        dbname=parts.path.lstrip("/"),
        host=parts.hostname or "",
        port=str(parts.port),
        user=parts.username or "",
        password=parts.password or "",
        pool_size=connections,
        max_overflow=0,
        max_waiting=1000,
    )
    recorder = PostgresApplicationRecorder(datastore, events_table_name="es_events")
    recorder.create_table()
    return recorder


def threaded(recorder: PostgresApplicationRecorder, callers: int) -> Append:
    """Return the recorder's append, each caller a thread."""
    pool = ThreadPoolExecutor(callers)
    state = DATA.encode()

    def insert(count: int) -> None:
        originator = uuid4()
        recorder.insert_events(
            [StoredEvent(originator, version, "bench:Event", state) for version in range(count)]
        )

    async def append(count: int) -> None:
        await asyncio.get_running_loop().run_in_executor(pool, insert, count)

    return append


async def copied(url: str) -> Append:
    """Return plain COPY into a table with the same keys: the limit, without any check."""
    pool: Any = await asyncpg.create_pool(  # type: ignore[no-untyped-call]
        url, min_size=BATCH_CALLERS, max_size=BATCH_CALLERS
    )
    await pool.execute(
        "create table copied (position bigserial primary key, event_id uuid unique, stream text"
        ' collate "C", version bigint, type text, data json, meta json,'
        " recorded_at timestamptz default now(), unique (stream, version))"
    )
    columns = ("event_id", "stream", "version", "type", "data", "meta")

    async def append(count: int) -> None:
        stream = str(uuid4())
        rows = [
            (uuid7(), stream, version, "environment.created", DATA, META)
            for version in range(count)
        ]
        await pool.copy_records_to_table("copied", records=rows, columns=columns)

    return append


async def cases(engines: Engines) -> list[Case]:
    """Return every case, on the same PostgreSQL."""
    owner = engines.owner_url()
    connection: Any = await asyncpg.connect(owner)  # type: ignore[no-untyped-call]
    made = "\n".join(path.read_text() for path in MIGRATIONS)
    bare = made.replace("log.", "bare.").replace("schema log", "schema bare")
    bare = bare.replace("search_path = log", "search_path = bare")
    await connection.execute(CHAINED.sub("''::bytea", bare))
    await connection.close()
    journal = await connect_pool(
        engines.urls("journal")["QM_DATABASE_URL"], service="bench", min_size=2, max_size=4
    )
    log, without_chain = PostgresLog(journal), _WithoutChain(journal)
    recorder = eventsourcing_recorder(owner, BATCH_CALLERS)
    batch, single = (BATCH_CALLERS, BATCH), (SINGLE_CALLERS, 1)
    return [
        Case("journal's appender", await grouped(log), *batch),
        Case("eventsourcing", threaded(recorder, BATCH_CALLERS), *batch),
        Case("plain COPY", await copied(owner), *batch),
        Case("journal's appender", await grouped(log), *single),
        Case("eventsourcing", threaded(recorder, SINGLE_CALLERS), *single),
        Case("without the chain", await grouped(without_chain), *batch),
        Case("with validation", await grouped(log, validated=True), *batch),
        Case("telemetry table", await grouped(log, telemetry=True), *batch),
    ]


async def compare(engines: Engines, rounds: int) -> list[Case]:
    """Measure all cases in shuffled rounds and return them with their rates."""
    all_cases = await cases(engines)
    order = random.Random(7)  # noqa: S311 (an order, not a secret)
    for number in range(rounds + 1):
        for case in order.sample(all_cases, len(all_cases)):
            await case.measure()
            if number == 0:
                case.rates.clear()  # the first round warms up
    for task in _RUNNING:
        task.cancel()
    return all_cases


async def sample_queues(url: str, models: int, samples: int) -> None:
    """Append so many samples of so many models' queues."""
    database = await connect_pool(url, service="bench", min_size=1, max_size=2)
    log = PostgresLog(database)
    for number in range(samples):
        await log.append([_sample(f"m{model}", number) for model in range(models)])
    await database.close()


def _sample(model: str, length: int) -> Command:
    data = f'{{"model_id":"{model}","length":{length},"ready":{length},"unacknowledged":0}}'
    entry = Entry(uuid7(), f"queue-samples/{model}", "queue.sampled", 1, data, META, True)
    return Command((entry,))

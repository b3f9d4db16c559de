"""`just bench history`: pages of histories and blames over a million events, and what they cost."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import httpx2

from deploy.bench.caused import HOT, MODELS, NODES, write
from deploy.bench.engines import fresh_engines
from deploy.bench.table import last_line, middle, percentile, show
from deploy.local.engines import Engines
from services.chassis.clock import SystemClock
from services.chassis.database import Database, connect_pool
from services.chassis.ids import uuid7
from services.journal.adapters.postgres import PostgresLog
from services.journal.append import GroupAppender
from services.journal.records import Command, Entry

EVENTS = 1_000_000
ASKED, WARM_UP = 400, 20
LIMIT = 50
ROUNDS, APPENDS = 6, 150
INDEX = """
create index by_cause on log.facts ((meta->>'causation_id'))
 where meta->>'causation_id' is not null"""
META = '{"actor":"bench","occurred_at":"2026-01-01T00:00:00Z","proposer":"gateway"'
DATA = '{"environment_id":"e","name":"n","description":"' + "x" * 440 + '"}'
TABLES = ("rm.history", "rm.causes", "log.facts")
TYPES = "instance.died,model.registered"


def main(arguments: Sequence[str]) -> None:
    """Measure everything and print it."""
    events = int(arguments[0]) if arguments else EVENTS
    with fresh_engines() as engines:
        price = asyncio.run(append_price(engines))
    with fresh_engines() as engines:
        asyncio.run(_measure(engines, events, price))


async def _measure(engines: Engines, events: int, price: float) -> None:
    owner = await connect_pool(engines.owner_url(), service="bench", min_size=1, max_size=2)
    _say(f"writing {events:,} events")
    await write(owner, events)
    _say("projecting")
    took_s = await _project(engines)
    for table in TABLES:
        await owner.execute(f"vacuum analyze {table}")
    sizes = await _sizes(owner)
    _say("asking")
    times = await _ask(engines, events)
    rows = [
        (name, percentile(each, 50), percentile(each, 99), max(each))
        for name, each in sorted(times.items())
    ]
    show(f"{events:,} events, pages of {LIMIT}", ("read", "p50 ms", "p99 ms", "worst ms"), rows)
    await owner.close()
    last_line(
        {
            **{f"{name}_p99_ms": round(p99, 2) for name, _, p99, _ in rows},
            "append_price_of_an_index": round(price, 3),
            "projected_per_s": round(events / took_s),
            **sizes,
        }
    )


def _say(what: str) -> None:
    print(f"... {what}", file=sys.stderr, flush=True)


async def _project(engines: Engines) -> float:
    from services.projector.service import project_all  # noqa: PLC0415 (imports a whole service)

    database = await connect_pool(
        engines.urls("projector")["QM_DATABASE_URL"], service="projector", min_size=1, max_size=3
    )
    begun = time.perf_counter()
    await project_all(database)
    await database.close()
    return time.perf_counter() - begun


async def _sizes(owner: Database) -> dict[str, int]:
    """Return how many bytes the two read models and the facts have."""
    return {
        f"{name}_mb": int(await owner.fetchval("select pg_total_relation_size($1::regclass)", name))
        >> 20
        for name in TABLES
    }


async def _ask(engines: Engines, events: int) -> dict[str, list[float]]:
    """Return how long reads took (ms), by kind: of hot subjects and cold, at any depth."""
    from services.query.adapters.checkpoint import CheckpointWatch  # noqa: PLC0415
    from services.query.adapters.events import DatabaseEvents  # noqa: PLC0415
    from services.query.adapters.reader import DatabaseReader  # noqa: PLC0415
    from services.query.handlers import TimeMachine  # noqa: PLC0415
    from services.query.routes import application, history  # noqa: PLC0415

    pool = await connect_pool(engines.urls("query")["QM_DATABASE_URL"], service="query", max_size=4)
    checkpoint = CheckpointWatch(pool, wait_s=5.0)
    reader = DatabaseReader(pool, checkpoint)
    routes = history.routes(reader, TimeMachine(DatabaseEvents(pool, checkpoint)))
    transport = httpx2.ASGITransport(application(reader, routes))
    chance = random.Random(7)  # noqa: S311 (an order, not a secret)
    times: dict[str, list[float]] = defaultdict(list)
    async with httpx2.AsyncClient(transport=transport, base_url="http://bench") as client:
        for number in range(ASKED + WARM_UP):
            for name, path, params in _questions(chance, events):
                begun = time.perf_counter()
                answer = await client.get(path, params=params)
                if answer.status_code not in (200, 404):
                    raise RuntimeError(answer.text)
                if number >= WARM_UP:
                    times[name].append((time.perf_counter() - begun) * 1000)
    await pool.close()
    return times


def _questions(chance: random.Random, events: int) -> list[tuple[str, str, dict[str, Any]]]:
    subject = chance.choice(
        (
            f"model/{HOT}",
            f"model/m{chance.randrange(MODELS)}",
            f"node/n{chance.randrange(NODES)}",
            f"gpu/GPU-n{chance.randrange(NODES)}-0",
            f"instance/i-{chance.randrange(events // 8)}",
            "environment/bench",
        )
    )
    order = {"order": chance.choice(("asc", "desc")), "limit": LIMIT}
    deep = {**order, "until": chance.randrange(1, events)}
    then = {**order, "as_of": chance.randrange(1, events)}
    path = f"/history/{subject}"
    return [
        ("groups", path, order | {"zoom": "groups"}),
        ("groups deep", path, deep | {"zoom": "groups"}),
        ("timeline", path, order | {"zoom": "timeline"}),
        ("timeline deep", path, deep | {"zoom": "timeline"}),
        ("timeline as_of", path, then | {"zoom": "timeline"}),
        ("rare types", f"/history/model/{HOT}", order | {"zoom": "timeline", "types": TYPES}),
        ("events", path, order | {"zoom": "events"}),
        ("blame", f"/blame/{chance.randrange(1, events)}", {}),
    ]


async def append_price(engines: Engines) -> float:
    """Return what is left of the rate of appends with an index over the causes in the log."""
    _say("appending, without and with an index over causes")
    owner = await connect_pool(engines.owner_url(), service="bench", min_size=1, max_size=2)
    journal = await connect_pool(
        engines.urls("journal")["QM_DATABASE_URL"], service="bench", min_size=2, max_size=4
    )
    appender = GroupAppender(PostgresLog(journal), SystemClock())
    running = asyncio.create_task(appender.run())
    rates: dict[bool, list[float]] = {False: [], True: []}
    for number in range(ROUNDS * 2 + 1):
        indexed = number % 2 == 1
        await owner.execute(INDEX if indexed else "drop index if exists log.by_cause")
        rate = await _append(appender)
        if number:
            rates[indexed].append(rate)
    await owner.execute("drop index if exists log.by_cause")
    running.cancel()
    await journal.close()
    await owner.close()
    return middle(rates[True]) / middle(rates[False])


async def _append(appender: GroupAppender) -> float:
    begun = time.perf_counter()

    async def call() -> None:
        for _ in range(APPENDS // 4):
            await appender.append([_caused(100)])

    await asyncio.gather(*(call() for _ in range(4)))
    return (APPENDS // 4) * 400 / (time.perf_counter() - begun)


def _caused(count: int) -> Command:
    stream = f"environment/{uuid7()}"
    meta = f'{META},"causation_id":"{uuid7()}","correlation_id":"{uuid7()}"}}'
    return Command(
        tuple(
            Entry(uuid7(), stream, "environment.created", 1, DATA, meta, telemetry=False)
            for _ in range(count)
        )
    )

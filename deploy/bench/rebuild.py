"""`just bench rebuild`: all read models made anew beside the live ones, compared and swapped in."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence

from contracts.events.control import RebuildAsked
from deploy.bench.engines import fresh_engines
from deploy.bench.lifetime import MIXES, live
from deploy.bench.lives import command
from deploy.bench.restart import fill
from deploy.bench.table import last_line, middle, show
from deploy.local.engines import Engines
from services.chassis.clock import SystemClock
from services.chassis.database import Database, connect_pool
from services.journal.adapters.postgres import PostgresLog

EVENTS = 300_000
ROUNDS = 3
PHASES = ("building", "indexing", "comparing", "swapping")


def main(arguments: Sequence[str]) -> None:
    """Fill a log, project it, rebuild; `events=N`: its length; `mix=busy|churn`: more facts."""
    given = dict(argument.split("=", 1) for argument in arguments)
    with fresh_engines() as engines:
        asyncio.run(run(engines, int(given.get("events", EVENTS)), given.get("mix", "ordinary")))


async def run(engines: Engines, events: int, mix: str) -> None:
    """Measure the projection of a log, and then rebuilds of all of it."""
    journal = await connect_pool(
        engines.urls("journal")["QM_DATABASE_URL"], service="bench", max_size=2
    )
    log = PostgresLog(journal)
    await (fill(log, events) if mix == "churn" else live(journal, events, MIXES[mix]))
    url = engines.urls("projector")["QM_DATABASE_URL"]
    database = await connect_pool(url, service="projector", max_size=6, command_timeout_s=600)
    projected_s = await projected(database)
    rounds = [await rebuilt(log, database, number) for number in range(ROUNDS)]
    await database.close()
    await journal.close()
    _report(events, mix, projected_s, rounds)


async def projected(database: Database) -> float:
    """Project what is recorded by now, and return how long it took (s)."""
    from services.projector.service import project_all  # noqa: PLC0415 (imports a whole service)

    begun = time.perf_counter()
    await project_all(database)
    return time.perf_counter() - begun


async def rebuilt(log: PostgresLog, database: Database, number: int) -> dict[str, float]:
    """Order a rebuild of everything, carry it out, and return the seconds of each phase."""
    from services.projector.service import Parts, Sizes  # noqa: PLC0415 (the same)

    id_ = f"reb-{number}"
    await log.append([command((f"rebuild/{id_}", RebuildAsked(rebuild_id=id_)))])
    parts = Parts(database, Sizes())
    rebuilder = parts.rebuilder(SystemClock(), lambda *_: None)
    await parts.live.catch_up()
    watching = asyncio.create_task(_watch(database, id_))
    begun = time.perf_counter()
    await rebuilder.look()
    took = time.perf_counter() - begun
    phases = await watching
    state = await database.fetchrow(
        "select state, differences from rm.builds where build_id = $1", id_
    )
    if state is None or state["state"] != "done" or state["differences"] != b"[]":
        sys.exit(f"the rebuild came out as {state}")
    print(f"... rebuilt in {took:.1f} s", file=sys.stderr, flush=True)
    return {"all": took, **phases}


async def _watch(database: Database, id_: str) -> dict[str, float]:
    """Return how long a build was seen in each of its states."""
    seen = dict.fromkeys(PHASES, 0.0)
    last = time.perf_counter()
    while True:
        state = await database.fetchval("select state from rm.builds where build_id = $1", id_)
        now = time.perf_counter()
        if state in seen:
            seen[state] += now - last
        last = now
        if state in ("done", "failed"):
            return seen
        await asyncio.sleep(0.02)


def _report(events: int, mix: str, projected_s: float, rounds: Sequence[dict[str, float]]) -> None:
    phases = {name: middle([each[name] for each in rounds]) for name in (*PHASES, "all")}
    rows: list[tuple[object, ...]] = [("projected, live tables", projected_s, events / projected_s)]
    rows += [
        (f"rebuild: {name}", took, events / took if took else 0) for name, took in phases.items()
    ]
    show(f"{events:,} events, {mix} mix", ("what", "s", "events/s"), rows)
    last_line(
        {
            "events": events,
            "mix": mix,
            "projected_per_s": round(events / projected_s),
            "rebuilt_per_s": round(events / phases["all"]),
            "filled_per_s": round(events / phases["building"]),
            "rebuild_s": round(phases["all"], 2),
        }
    )

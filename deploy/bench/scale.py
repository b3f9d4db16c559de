"""`just bench scale`: 1,000 nodes through the real services, 10,000 through the scheduler alone."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from deploy.bench import alone
from deploy.bench.alone import Size
from deploy.bench.crowd import GPUS, Crowd
from deploy.bench.engines import fresh_engines, service
from deploy.bench.passage import HOPS, Pass, folded, passes
from deploy.bench.restart import Trials, fill
from deploy.bench.table import last_line, middle, percentile, show
from deploy.bench.working import Work, Worked, ready, told
from deploy.local import ports
from deploy.local.engines import Engines
from deploy.local.errors import say
from services.chassis import bus
from services.chassis.database import connect_pool
from services.journal.adapters.postgres import PostgresLog

NODES, MODELS, MINUTES, SPEED = 1_000, 300, 10.0, 5.0
SIZES = ((1_000, 300), (2_500, 500), (5_000, 700), (10_000, 1_000))
EVENTS = 1_000_000
WITH = 3


@dataclass(frozen=True)
class Restarts:
    """Seconds from a scheduler's start to its first decision, on a log of so many events."""

    events: int
    full_s: float
    snapshot_s: float


def main(arguments: Sequence[str]) -> None:
    """Measure everything.

    `minutes=`, `nodes=`, `models=`: of the fleet at work; `speed=`: how many times as fast as life;
    `sizes=`: how many of SIZES alone; `events=`: the log's length for restarts, 0 for none.
    """
    given = dict(argument.split("=", 1) for argument in arguments)
    crowd = Crowd(int(given.get("nodes", NODES)), int(given.get("models", MODELS)))
    minutes, speed = float(given.get("minutes", MINUTES)), float(given.get("speed", SPEED))
    worked, found = work(crowd, minutes, speed)
    show_work(crowd, minutes, worked, found)
    sizes = [sized(*size) for size in SIZES[: int(given.get("sizes", len(SIZES)))]]
    if sizes:
        show_sizes(sizes)
    events = int(given.get("events", EVENTS))
    restarts = restarted(events) if events else None
    if restarts:
        show_restarts(restarts)
    last_line(results(worked, found, sizes, restarts) | {"compressed": speed})


def work(crowd: Crowd, minutes: float, speed: float) -> tuple[Worked, list[Pass]]:
    """Let a fleet work on engines of its own; return what was seen, and the scheduler's passes."""
    state = Path(tempfile.mkdtemp(prefix="qm-bench-scale-"))
    try:
        with fresh_engines() as engines, ExitStack() as stack:
            asyncio.run(bus.declare(engines.amqp_url("journal")))
            port = ports.keep_or_choose(state / "ports.json", ["query"])["query"]
            more = {
                "journal": {"QM_BACKUP_DIR": str(state)},
                "projector": {},
                "scheduler": {"LOG_LEVEL": "DEBUG"},
                "query": {"QM_HTTP_PORT": str(port)},
            }
            processes = {}
            for name, own in more.items():
                quiet = {**os.environ, "LOG_LEVEL": "WARNING"}
                environment = quiet | engines.urls(name) | own
                process = told(name, environment, state / f"{name}.log")
                processes[name] = stack.enter_context(process)
            say(f"{crowd.nodes:,} nodes, {crowd.models} models: {minutes:g} minutes at {speed:g} x")

            async def live() -> Worked:
                await ready(port)
                return await Work(engines, crowd, minutes, speed).run(processes, port)

            worked = asyncio.run(live())
            return worked, passes(state / "scheduler.log")
    finally:
        shutil.rmtree(state, ignore_errors=True)


def sized(nodes: int, models: int) -> Size:
    """Measure the scheduler alone with a fleet of a size."""
    say(f"the scheduler alone: {nodes:,} nodes, {nodes * GPUS:,} GPUs, {models:,} models")
    return alone.measured(nodes, models)


def restarted(events: int) -> Restarts:
    """Measure starts on a long log."""
    say(f"restarts with a log of {events:,} events")
    with fresh_engines() as engines:
        return asyncio.run(_restarted(engines, events))


async def _restarted(engines: Engines, events: int) -> Restarts:
    url = engines.urls("journal")["QM_DATABASE_URL"]
    database = await connect_pool(url, service="bench", min_size=1, max_size=2)
    log = PostgresLog(database)
    await fill(log, events)
    with service("journal", engines.urls("journal")):
        trials = Trials(engines, log)
        full_s = await trials.start({"QM_SNAPSHOT_EVERY_EVENTS": "0"})
        await trials.start({}, until_kept=True)
        snapshot_s = middle([await trials.start({}) for _ in range(WITH)])
    await database.close()
    return Restarts(events, full_s, snapshot_s)


def show_work(crowd: Crowd, minutes: float, worked: Worked, found: Sequence[Pass]) -> None:
    """Print what the working fleet showed."""
    lags = worked.passage.lags(folded(found), worked.after)
    rows: list[tuple[object, ...]] = [
        (f"proposed to {hop} (ms)", *_spread([each * 1000 for each in lags[hop]])) for hop in HOPS
    ]
    rows.append(("a decision (ms)", *_spread(took_ms(found))))
    rows.append(("a page of the query service (ms)", *_spread(worked.reads_ms)))
    show(
        f"{crowd.nodes:,} nodes, {crowd.nodes * GPUS:,} GPUs, {crowd.models:,} models:"
        f" {minutes:g} minutes in {worked.took_s:.0f} s,"
        f" {worked.events / worked.took_s:,.0f} events/s",
        ("what", "p50", "p99", "max"),
        rows,
    )
    memory = [(name, worked.peaks_mb.get(name, "-"), busy) for name, busy in worked.busy.items()]
    show("Memory and cores", ("service", "MB resident at most", "cores"), memory)


def took_ms(found: Sequence[Pass]) -> list[float]:
    """Return how long passes took (ms)."""
    return [each.took_ms for each in found]


def _spread(values: Sequence[float]) -> tuple[float, float, float]:
    return percentile(values, 50), percentile(values, 99), max(values)


def show_sizes(sizes: Sequence[Size]) -> None:
    """Print the scheduler alone."""
    rows: list[tuple[object, ...]] = []
    for size in sizes:
        rows += [
            (f"{size.nodes:,} nodes: {name}", len(took.wall), *_spread(took.wall), max(took.own))
            for name, took in size.phases.items()
        ]
        all_of_it = (*_spread(size.wall), max(size.own))
        rows.append((f"{size.nodes:,} nodes, {size.models:,} models", len(size.wall), *all_of_it))
    show(
        f"Whole passes of the scheduler alone (ms); growth {alone.exponent(sizes):.2f}",
        ("fleet and phase", "passes", "p50", "p99", "max", "max, own CPU"),
        rows,
    )


def show_restarts(restarts: Restarts) -> None:
    """Print the restarts."""
    rows = [
        ("no snapshot: all of history (s)", restarts.full_s),
        ("from a snapshot (s)", restarts.snapshot_s),
    ]
    show(f"A scheduler's start with {restarts.events:,} events", ("what", "s"), rows)


def results(
    worked: Worked, found: Sequence[Pass], sizes: Sequence[Size], restarts: Restarts | None
) -> dict[str, float | None]:
    """Return the last line."""
    lags = worked.passage.lags(folded(found), worked.after)
    told_of: dict[str, float | None] = {
        "decision_p99_ms_1000_nodes": percentile(took_ms(found), 99),
        "decision_p99_ms_10000_nodes": None,
        "growth_exponent": alone.exponent(sizes) if len(sizes) > 1 else None,
        "restart_s_snapshot": restarts.snapshot_s if restarts else None,
        "restart_s_full": restarts.full_s if restarts else None,
        "restart_events": restarts.events if restarts else None,
        "largest_service_mb": max(worked.peaks_mb.values()),
        "lag_p99_ms": percentile(lags["projected"], 99) * 1000,
    }
    for size in sizes:
        told_of[f"decision_p99_ms_{size.nodes}_nodes_alone"] = percentile(size.wall, 99)
        told_of[f"decision_cpu_p99_ms_{size.nodes}_nodes_alone"] = percentile(size.own, 99)
        if size.nodes == SIZES[-1][0]:
            told_of["decision_p99_ms_10000_nodes"] = percentile(size.wall, 99)
    for hop in HOPS:
        told_of[f"lag_{hop}_p99_ms"] = percentile(lags[hop], 99) * 1000
    told_of["query_p99_ms"] = percentile(worked.reads_ms, 99)
    told_of["events_per_s"] = worked.events / worked.took_s
    return {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in told_of.items()
    }

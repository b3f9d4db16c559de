"""`just bench memory`: what the log's memory costs, over a million events of a fleet's life."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import httpx2

from deploy.bench import as_of, explaining, followed, moments
from deploy.bench.engines import fresh_engines, service
from deploy.bench.lifetime import MIXES, live
from deploy.bench.rebuild import projected, rebuilt
from deploy.bench.restart import Trials
from deploy.bench.sizes import Sizes, sizes
from deploy.bench.table import last_line, middle, percentile, show
from deploy.local import ports
from deploy.local.engines import Engines
from deploy.local.errors import say
from services.chassis import bus
from services.chassis.database import connect_pool
from services.journal.adapters.postgres import PostgresLog

EVENTS, ROUNDS = 1_000_000, 3
# 40 nodes that report every 11 s, 60 queues sampled every 5.6 s: a million events in 18 hours.
PER_S = 15.0
TOKEN = "a-token-of-this-benchmark"  # noqa: S105 (it opens a gateway that lives for a minute)
LONG_S, READY_S = 1800.0, 180.0


@dataclass(frozen=True)
class Found:
    """What was measured: seconds, milliseconds, and bytes."""

    projected_s: float
    rebuilt_s: Sequence[float]
    sizes: Sizes
    as_of: Mapping[str, as_of.Cost]
    restart_full_s: float
    restart_snapshot_s: Sequence[float]
    snapshots: int
    explained: Mapping[str, explaining.Cost]


def main(arguments: Sequence[str]) -> None:
    """Fill a log, then measure everything on it.

    `events=N`: its length; `mix=busy`: more facts; `per_s=N`: how close its events lie.
    """
    given = dict(argument.split("=", 1) for argument in arguments)
    events, mix = int(given.get("events", EVENTS)), given.get("mix", "ordinary")
    per_s = float(given.get("per_s", PER_S))
    with fresh_engines() as engines:
        _report(events, mix, asyncio.run(_measure(engines, events, mix, per_s)))


async def _measure(engines: Engines, events: int, mix: str, per_s: float) -> Found:
    await bus.declare(engines.amqp_url("journal"))
    journal = await connect_pool(
        engines.urls("journal")["QM_DATABASE_URL"], service="bench", max_size=2
    )
    log = PostgresLog(journal)
    say(f"appending {events:,} events")
    with moments.apart(engines, events, per_s):
        await live(journal, events, MIXES[mix])
    head = await log.head()
    await log.move_cursor(0, head.position, head.event_id or "")
    projected_s, rebuilt_s = await _read_models(engines, log)
    owner = await connect_pool(engines.owner_url(), service="bench", command_timeout_s=LONG_S)
    await owner.execute("vacuum analyze")
    taken = await sizes(owner)
    await owner.close()
    say("asking for the past")
    past = await as_of.measure(engines.urls("query")["QM_DATABASE_URL"])
    full_s, snapshot_s = await _restarts(engines, log)
    snapshots = await _followed(engines, log)
    explained = await _explained(engines)
    await journal.close()
    return Found(projected_s, rebuilt_s, taken, past, full_s, snapshot_s, snapshots, explained)


async def _read_models(engines: Engines, log: PostgresLog) -> tuple[float, list[float]]:
    """Return how long the first projection took, and each rebuild of it (s)."""
    url = engines.urls("projector")["QM_DATABASE_URL"]
    database = await connect_pool(url, service="projector", max_size=6, command_timeout_s=LONG_S)
    say("projecting")
    projected_s = await projected(database)
    say("rebuilding")
    rounds = [(await rebuilt(log, database, number))["all"] for number in range(ROUNDS)]
    await database.close()
    return projected_s, rounds


async def _restarts(engines: Engines, log: PostgresLog) -> tuple[float, list[float]]:
    """Return how long (s) a scheduler took to its first decision: without snapshots, with one."""
    say("starting schedulers")
    with service("journal", engines.urls("journal")):
        trials = Trials(engines, log)
        full_s = await trials.start({"QM_SNAPSHOT_EVERY_EVENTS": "0"})
        # Of an ordinary log a snapshot is due by time: not to wait for it is all that this changes.
        await trials.start({"QM_SNAPSHOT_INTERVAL": "5"}, until_kept=True)
        return full_s, [await trials.start({}) for _ in range(ROUNDS)]


async def _followed(engines: Engines, log: PostgresLog) -> int:
    """Return how many snapshots of its past a scheduler keeps that followed all along."""
    say("keeping the scheduler's snapshots of the past")
    with service("journal", engines.urls("journal")):
        return await followed.follow(engines, (await log.head()).position)


async def _explained(engines: Engines) -> Mapping[str, explaining.Cost]:
    say("asking why")
    async with _gateway(engines) as url:
        ids = await asyncio.to_thread(explaining.ids_of, url, TOKEN)
        return await asyncio.to_thread(explaining.measure, url, TOKEN, ids)


@asynccontextmanager
async def _gateway(engines: Engines) -> AsyncIterator[str]:
    """Start all that an explanation goes through; yield the gateway's URL once it answers."""
    state = Path(tempfile.mkdtemp(prefix="qm-bench-memory-"))
    chosen = ports.keep_or_choose(state / "ports.json", ["gateway", "query"])
    url = f"http://127.0.0.1:{chosen['gateway']}"
    environments = {
        "journal": {"QM_BACKUP_DIR": str(state)},
        "projector": {},
        "scheduler": {},
        "query": {"QM_HTTP_PORT": str(chosen["query"])},
        "gateway": {
            "QM_HTTP_PORT": str(chosen["gateway"]),
            "QM_QUERY_URL": f"http://127.0.0.1:{chosen['query']}",
            "QM_API_TOKEN": TOKEN,
            "QM_KEYS_DIR": str(state / "keys"),
            "QM_READS_PER_S": "0",
            "QM_COMMANDS_PER_S": "0",
        },
    }
    try:
        with ExitStack() as processes:
            for name, more in environments.items():
                processes.enter_context(service(name, engines.urls(name) | more))
            await _answers(url)
            yield url
    finally:
        shutil.rmtree(state, ignore_errors=True)


async def _answers(url: str) -> None:
    """Return once a model can be explained: by then the scheduler has folded the log."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(base_url=url, headers=headers, trust_env=False) as client:
        async with asyncio.timeout(READY_S):
            while True:
                with suppress(httpx2.HTTPError):
                    answer = await client.get("/api/v1/explain/model/m0")
                    if answer.status_code == HTTPStatus.OK:
                        return
                await asyncio.sleep(0.5)


def _report(events: int, mix: str, found: Found) -> None:
    explained = explaining.numbers(found.explained)
    every = [
        took for cost in found.explained.values() for took in cost.now + cost.then + cost.first
    ]
    per_event = found.sizes.log + found.sizes.read_models
    show("The slowest reads of the past", as_of.COLUMNS, as_of.rows(dict(found.as_of))[:8])
    show("Explanations (ms)", explaining.COLUMNS, explaining.rows(found.explained))
    rebuild_s, restart_s = middle(found.rebuilt_s), middle(found.restart_snapshot_s)
    show(
        f"The memory of {events:,} events, {mix} mix: {MIXES[mix].facts:.0f} % facts",
        ("what", "value"),
        [
            ("first projection (events/s)", events / found.projected_s),
            ("rebuild of all read models beside the live ones (events/s)", events / rebuild_s),
            ("restart to the first decision, no snapshot (s)", found.restart_full_s),
            (
                "restart to the first decision, from a snapshot (s)",
                middle(found.restart_snapshot_s),
            ),
            ("snapshots of the past", found.snapshots),
            ("log (MB per million events)", found.sizes.log / 1e6),
            ("read models (MB per million events)", found.sizes.read_models / 1e6),
        ],
    )
    last_line(
        {
            "events": events,
            "mix": mix,
            "rebuild_events_per_s": round(events / rebuild_s),
            "projected_events_per_s": round(events / found.projected_s),
            "restart_s_snapshot": round(restart_s, 2),
            "restart_s_full": round(found.restart_full_s, 2),
            **as_of.numbers(dict(found.as_of)),
            **explained,
            "explain_now_p99_ms": explained["explain_p99_ms"],
            "explain_p99_ms": round(percentile(every, 99), 2),
            "bytes_per_event": round(per_event / 1e6),
            "log_bytes_per_event": round(found.sizes.log / 1e6),
        }
    )

"""`just bench http`: reads, commands and live events through the gateway, on real engines."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from time import perf_counter

from contracts.envelope import Draft
from contracts.events.node import NodeHeartbeat
from deploy.bench.calling import Caller, Watching, opened
from deploy.bench.engines import fresh_engines, service
from deploy.bench.table import last_line, percentile, show
from deploy.local import ports
from deploy.local.engines import Engines
from deploy.local.errors import say
from services.chassis import bus
from services.chassis.clock import SystemClock
from services.chassis.database import connect_pool
from services.chassis.ports import Bus
from services.chassis.proposer import Proposer
from services.query.adapters.checkpoint import CheckpointWatch
from services.query.adapters.reader import DatabaseReader

TOKEN = "a-token-of-this-benchmark"  # noqa: S105 (it opens a gateway that lives for a minute)
NODES, PAGE, CALLERS = 500, 50, 16
ROUNDS, PER_ROUND, COMMANDS = 8, 96, 640
SQL_ASKED, MOST = 300, 200
# Each caller asks for another page or node, unless it is said that all ask the same: then the
# gateway reads once for many.
READ, QUERY = "list of 50", "list of 50, query itself"
EXPLAIN, DEPLOYMENTS = "explain a node", "deployments of 500 nodes"
DEPLOYMENTS_PAGE = "a page of them"
SAME = ", all the same"
_NEXT = re.compile(rb'"next_cursor":"([^"]+)"')
READERS, BATCH, BATCHES = 50, 100, 40
STEADY_S, STEADY_PER_S = 6.0, 50
READY_S, DRAIN_S = 60.0, 120.0


@dataclass
class Took:
    """How long each request of one kind took (s), and all of them together."""

    each: list[float] = field(default_factory=list)
    whole_s: float = 0.0

    @property
    def per_s(self) -> float:
        """How many a second."""
        return len(self.each) / self.whole_s

    def ms(self, percent: int) -> float:
        """Return a percentile in milliseconds."""
        return percentile(self.each, percent) * 1000


@dataclass
class Fanned:
    """What readers of the stream got."""

    per_s: float
    lags_s: list[float]


def main(arguments: Sequence[str]) -> None:
    """Start what it needs on engines of its own, measure, print."""
    del arguments
    state = Path(tempfile.mkdtemp(prefix="qm-bench-http-"))
    try:
        with fresh_engines() as running:
            asyncio.run(bus.declare(running.amqp_url("journal")))
            gateway, query = _ports(state)
            with ExitStack() as processes:
                for name, more in _environments(state, gateway, query).items():
                    processes.enter_context(service(name, running.urls(name) | more))
                asyncio.run(_measure(running, gateway, query))
    finally:
        shutil.rmtree(state, ignore_errors=True)


def _ports(state: Path) -> tuple[int, int]:
    chosen = ports.keep_or_choose(state / "ports.json", ["gateway", "query"])
    return chosen["gateway"], chosen["query"]


def _environments(state: Path, gateway: int, query: int) -> dict[str, dict[str, str]]:
    return {
        "journal": {"QM_BACKUP_DIR": str(state)},
        "projector": {},
        "scheduler": {},
        "query": {"QM_HTTP_PORT": str(query)},
        "gateway": {
            "QM_HTTP_PORT": str(gateway),
            "QM_QUERY_URL": f"http://127.0.0.1:{query}",
            "QM_API_TOKEN": TOKEN,
            "QM_KEYS_DIR": str(state / "keys"),
            "QM_READS_PER_S": "0",
            "QM_COMMANDS_PER_S": "0",
        },
    }


async def _measure(running: Engines, gateway: int, query: int) -> None:
    await _ready(gateway)
    first = await opened(gateway, TOKEN)
    environments = await _seed(first)
    first.close()
    # Only now: a connection on which nothing is asked for long is cut.
    door = [await opened(gateway, TOKEN) for _ in range(CALLERS)]
    inside = [await opened(query, TOKEN) for _ in range(CALLERS)]
    say("the gateway is ready; reads by turns")
    kinds = await _reads(door, inside)
    say("commands")
    commands = await _commands(door, environments)
    say(f"events to {READERS} readers")
    broker = await bus.connect("gateway", running.amqp_url("gateway"))
    try:
        fanned = await _fan_out(gateway, broker)
    finally:
        await broker.close()
        for caller in (*door, *inside):
            caller.close()
    _report(kinds, commands, fanned, await _sql(running))


async def _ready(port: int) -> None:
    async with asyncio.timeout(READY_S):
        while True:
            try:
                caller = await opened(port, TOKEN)
                status, _, _ = await caller.ask("GET", "/api/v1/nodes")
                caller.close()
                if status == 200:  # noqa: PLR2004
                    return
            except OSError:
                pass
            await asyncio.sleep(0.2)


async def _seed(caller: Caller) -> list[str]:
    """Register environments and nodes; return the environments' ids."""
    made = [await caller.make("/environments", {"name": f"e{n}"}) for n in range(CALLERS)]
    for number in range(NODES):
        body = {
            "name": f"node-{number:03d}",
            "environment_id": made[0],
            "agent_url": f"http://10.0.{number // 200}.{number % 200 + 1}:8090",
            "available_gpu_ids": [0, 1, 2, 3],
        }
        await caller.make("/nodes", body)
    return made


async def _reads(door: list[Caller], inside: list[Caller]) -> dict[str, Took]:
    """Read one page through the gateway, unchanged, and from the query service, by turns."""
    page = f"/nodes?limit={PAGE}"
    path = f"/api/v1{page}"
    _, headers, body = await door[0].ask("GET", path)
    tagged = {"if-none-match": headers["etag"]}
    ids = [each["id"] for each in json.loads(body)["data"]["items"]]
    why = "/api/v1/explain/node/"
    kinds: dict[str, Callable[[int], Awaitable[object]]] = {
        READ: lambda n: door[n].ask("GET", f"{path}&cursor={ids[n]}"),
        READ + SAME: lambda n: door[n].ask("GET", path),
        "unchanged (304)" + SAME: lambda n: door[n].ask("GET", path, headers=tagged),
        "zipped": lambda n: door[n].ask(
            "GET", f"{path}&cursor={ids[n]}", headers={"accept-encoding": "gzip"}
        ),
        QUERY: lambda n: inside[n].ask("GET", f"{page}&cursor={ids[n]}"),
        EXPLAIN: lambda n: door[n].ask("GET", why + ids[n]),
        EXPLAIN + SAME: lambda n: door[n].ask("GET", why + ids[0]),
        DEPLOYMENTS: lambda n: _all_deployments(door[n], MOST - n),
        DEPLOYMENTS_PAGE: lambda n: door[n].ask(
            "GET", f"/api/v1/deployments/status?limit={MOST - n}"
        ),
        DEPLOYMENTS + SAME: lambda n: _all_deployments(door[n], MOST),
    }
    took = {name: Took() for name in kinds}
    for _ in range(ROUNDS):
        for name, ask in kinds.items():
            await _rounds(ask, PER_ROUND // CALLERS, took[name])
    return took


async def _all_deployments(caller: Caller, most: int) -> None:
    """Read every node with what runs on it, so many on a page: 500 are three pages."""
    path, cursor = f"/api/v1/deployments/status?limit={most}", ""
    while True:
        status, _, body = await caller.ask("GET", path + cursor)
        if status != HTTPStatus.OK:
            raise RuntimeError(body.decode())
        # Not read as a whole: sixteen callers' reading would be most of what is measured.
        if (following := _NEXT.search(body)) is None:
            return
        cursor = f"&cursor={following[1].decode()}"


async def _commands(door: list[Caller], environments: list[str]) -> Took:
    numbers = iter(range(10**9))

    async def change(caller: int) -> None:
        path = f"/api/v1/environments/{environments[caller]}"
        status, _, body = await door[caller].ask(
            "PATCH", path, {"description": f"number {next(numbers)}"}
        )
        if status != 200:  # noqa: PLR2004
            raise RuntimeError(body.decode())

    took = Took()
    await _rounds(change, COMMANDS // CALLERS, took)
    return took


async def _rounds(ask: Callable[[int], Awaitable[object]], count: int, took: Took) -> None:
    """Let every caller ask so many times, one after the other, all callers at once."""

    async def one(caller: int) -> None:
        for _ in range(count):
            started = perf_counter()
            await ask(caller)
            took.each.append(perf_counter() - started)

    started = perf_counter()
    await asyncio.gather(*(one(caller) for caller in range(CALLERS)))
    took.whole_s += perf_counter() - started


async def _fan_out(gateway: int, broker: Bus) -> Fanned:
    """Let many read while events come as fast as they can, then while they come steadily."""
    readers = [Watching(gateway, TOKEN) for _ in range(READERS)]
    tasks = [asyncio.create_task(reader.run()) for reader in readers]
    await _until(lambda: all(reader.is_open for reader in readers))
    proposer = Proposer(broker, "gateway", SystemClock())
    started = perf_counter()
    for _ in range(BATCHES):
        await proposer.propose(*_heartbeats(BATCH))
    await _until(lambda: all(reader.events >= BATCH * BATCHES for reader in readers))
    per_s = READERS * BATCH * BATCHES / (perf_counter() - started)
    for reader in readers:
        reader.measures = True
    for _ in range(int(STEADY_S * STEADY_PER_S)):
        await proposer.propose(*_heartbeats(1))
        await asyncio.sleep(1 / STEADY_PER_S)
    expected = int(STEADY_S * STEADY_PER_S)
    await _until(lambda: all(len(reader.lags_s) >= expected for reader in readers))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return Fanned(per_s, [lag for reader in readers for lag in reader.lags_s])


async def _sql(running: Engines) -> list[float]:
    """Return how long the database took over one page of nodes (s), asked by one caller."""
    url = running.urls("query")["QM_DATABASE_URL"]
    database = await connect_pool(url, service="query", min_size=1, max_size=1)
    reader = DatabaseReader(database, CheckpointWatch(database, wait_s=5.0))
    took = []
    for _ in range(SQL_ASKED):
        started = perf_counter()
        await reader.page("nodes", PAGE, None, None, min_position=0)
        took.append(perf_counter() - started)
    await database.close()
    return took


def _heartbeats(count: int) -> list[Draft]:
    return [Draft("node-reports/n-1", NodeHeartbeat(node_id="n-1")) for _ in range(count)]


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DRAIN_S):
        while not condition():  # noqa: ASYNC110 (what is waited for is counted in many places)
            await asyncio.sleep(0.02)


def _report(kinds: dict[str, Took], commands: Took, fanned: Fanned, sql: Sequence[float]) -> None:
    base = kinds[QUERY].per_s
    rows: list[tuple[object, ...]] = [
        (name, took.ms(50), took.ms(99), took.per_s, took.per_s / base)
        for name, took in kinds.items()
    ]
    rows.append(("command", commands.ms(50), commands.ms(99), commands.per_s, ""))
    lag = [percentile(fanned.lags_s, percent) * 1000 for percent in (50, 99)]
    rows.append((f"events to {READERS} readers", lag[0], lag[1], fanned.per_s, ""))
    title = f"The gateway: {CALLERS} callers by turns, one process each"
    show(title, ("what", "p50 ms", "p99 ms", "a second", "against query"), rows)
    read, inside = kinds[READ], kinds[QUERY]
    last_line(
        {
            "gateway_list_p50_ms": round(read.ms(50), 2),
            "gateway_list_p99_ms": round(read.ms(99), 2),
            "gateway_list_per_s": round(read.per_s),
            "query_list_p50_ms": round(inside.ms(50), 2),
            "query_list_p99_ms": round(inside.ms(99), 2),
            "query_list_per_s": round(inside.per_s),
            "query_sql_p99_ms": round(percentile(sql, 99) * 1000, 2),
            "explain_p99_ms": round(kinds[EXPLAIN].ms(99), 2),
            "deployments_500_nodes_p99_ms": round(kinds[DEPLOYMENTS].ms(99), 2),
            "deployments_page_p99_ms": round(kinds[DEPLOYMENTS_PAGE].ms(99), 2),
            "gateway_same_list_p99_ms": round(kinds[READ + SAME].ms(99), 2),
            "gateway_same_list_per_s": round(kinds[READ + SAME].per_s),
            "explain_same_p99_ms": round(kinds[EXPLAIN + SAME].ms(99), 2),
            "deployments_same_p99_ms": round(kinds[DEPLOYMENTS + SAME].ms(99), 2),
            "unchanged_per_s": round(kinds["unchanged (304)" + SAME].per_s),
            "zipped_per_s": round(kinds["zipped"].per_s),
            "gateway_against_query": round(read.per_s / base, 3),
            "command_p50_ms": round(commands.ms(50), 2),
            "command_p99_ms": round(commands.ms(99), 2),
            "commands_per_s": round(commands.per_s),
            "sse_fanout_events_per_s": round(fanned.per_s),
            "sse_lag_p50_ms": round(lag[0], 2),
            "sse_lag_p99_ms": round(lag[1], 2),
        }
    )

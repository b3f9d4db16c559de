"""A fleet at work: its reports and samples through the real services, compressed in time."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import psutil

from contracts.catalogue import CATALOGUE, read
from contracts.envelope import Draft, Lease, Recorded
from contracts.events.control import LeaseAcquired
from contracts.events.instance import InstanceStartRequested, InstanceStopRequested
from contracts.types import InstanceReport
from deploy.bench.calling import opened
from deploy.bench.crowd import Crowd, Wish, came_true, report_of, strategy
from deploy.bench.engines import ROOT
from deploy.bench.passage import Passage
from deploy.local.engines import Engines
from services.chassis import bus
from services.chassis.clock import SystemClock
from services.chassis.database import connect_pool
from services.chassis.errors import QuartermasterError, Unavailable
from services.chassis.follower import Follower
from services.chassis.proposer import Proposer
from services.chassis.supervision import Together

TYPES = frozenset(type_ for type_, _ in CATALOGUE)
SPEAKERS = ("gateway", "node_monitor", "queue_sampler", "deployer")
LEADERS = ("node_monitor", "deployer")
SAMPLED_S, REPORTED_S, LOAD_S, STOP_S = 5.0, 30.0, 20.0, 3.0  # of the fleet's own time
SLICES = 10  # what is due in one sampling interval comes in so many portions
AT_ONCE, READ_EVERY_S, SETTLE_S, READY_S = 200, 0.25, 120.0, 60.0
PATHS = ("nodes", "models", "instances", "queues", "gpus")


@dataclass(frozen=True)
class Worked:
    """What came of it. after: the position from which on everything counts.

    peaks_mb: memory of each service at its highest. busy: the share of a core that each one took.
    """

    passage: Passage
    after: int
    events: int
    took_s: float
    reads_ms: list[float]
    peaks_mb: dict[str, float]
    busy: dict[str, float]


class Work:
    """Everybody who speaks, and the deployer's follower, which sees every event come by."""

    def __init__(self, engines: Engines, crowd: Crowd, minutes: float, speed: float) -> None:
        self._engines, self._crowd, self._minutes, self._speed = engines, crowd, minutes, speed
        self._passage = Passage()
        self._voices: dict[str, Proposer] = {}
        self._running: dict[str, dict[str, InstanceReport]] = defaultdict(dict)
        self._doing: set[asyncio.Task[None]] = set()
        self._reads_ms: list[float] = []
        self._follower: Follower

    async def run(self, processes: dict[str, subprocess.Popen[bytes]], port: int) -> Worked:
        """Establish the fleet, let it work, and return what was seen."""
        async with AsyncExitStack() as stack:
            for name in SPEAKERS:
                connection = await bus.connect(name, self._engines.amqp_url(name))
                stack.push_async_callback(connection.close)
                self._voices[name] = Proposer(connection, name, SystemClock())
                if name == "deployer":
                    self._follower = Follower(connection, name, TYPES, SystemClock())
            database = await connect_pool(self._engines.owner_url(), service="bench", max_size=1)
            stack.push_async_callback(database.close)
            async with Together() as tasks:
                background = [
                    tasks.create_task(self._follow()),
                    tasks.create_task(self._passage.watch(database)),
                ]
                await self._establish()
                background.append(tasks.create_task(self._ask(port)))
                after, begun = self._follower.position, time.perf_counter()
                before = _cpu_s(processes)
                await self._flow()
                took_s = time.perf_counter() - begun
                busy = {
                    name: (at - before[name]) / took_s for name, at in _cpu_s(processes).items()
                }
                await self._settled()
                for task in background:
                    task.cancel()
        peaks = {name: peak_mb(process.pid) for name, process in processes.items()}
        events = self._follower.position - after
        return Worked(self._passage, after, events, took_s, self._reads_ms, peaks, busy)

    async def _establish(self) -> None:
        """Register models and nodes, and see every node once."""
        await self._say("gateway", [strategy(self._speed)])
        await self._say("gateway", self._crowd.models_registered())
        await self._say("gateway", self._crowd.nodes_registered())
        for name in LEADERS:
            taken = LeaseAcquired(name=name, epoch=1, holder="bench")
            await self._say(name, [Draft(f"lease/{name}", taken, expected_version=0)])
        await self._say("node_monitor", self._crowd.nodes_seen())
        await self._say("node_monitor", self._crowd.reports({}))
        await self._settled()

    async def _say(self, name: str, drafts: Iterable[Draft]) -> None:
        rest, lease = iter(drafts), Lease(name, 1) if name in LEADERS else None
        while some := [(draft,) for draft in islice(rest, AT_ONCE)]:
            free = some[0][0].event.type in ("lease.acquired", "node.reported")
            verdicts = await self._voices[name].propose_all(some, None if free else lease)
            if refused := [each for each in verdicts if isinstance(each, QuartermasterError)]:
                raise refused[0]

    async def _flow(self) -> None:
        """Sample and report for so many minutes of the fleet's time, as fast as is taken in."""
        reports: Iterator[Draft] = iter(())
        per_slice = -(-self._crowd.nodes * SAMPLED_S // (REPORTED_S * SLICES))
        begun = time.perf_counter()
        ticks = round(self._minutes * 60 / SAMPLED_S)
        for tick in range(ticks):
            samples = list(self._crowd.samples(tick * SAMPLED_S / 60))
            for number in range(SLICES):
                due = begun + (tick + number / SLICES) * SAMPLED_S / self._speed
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                self._voices["queue_sampler"].offer(*samples[number::SLICES])
                some = list(islice(reports, int(per_slice)))
                if len(some) < per_slice:
                    reports = self._crowd.reports(self._running)
                self._voices["node_monitor"].offer(*some)
            # The broker's confirms hold us back where it is too fast for this machine.
            await self._voices["queue_sampler"].flush()
            await self._voices["node_monitor"].flush()

    async def _follow(self) -> None:
        async for batch in self._follower.batches():
            self._passage.saw(batch)
            for event in batch:
                if event.type in (InstanceStartRequested.type, InstanceStopRequested.type):
                    task = asyncio.create_task(self._carry_out(event))
                    self._doing.add(task)
                    task.add_done_callback(self._doing.discard)

    async def _carry_out(self, event: Recorded) -> None:
        wish: Wish = read(event)  # type: ignore[assignment]
        starts = isinstance(wish, InstanceStartRequested)
        await asyncio.sleep((LOAD_S if starts else STOP_S) / self._speed)
        if isinstance(wish, InstanceStartRequested):
            self._running[wish.node_id][wish.instance_id] = report_of(wish)
        else:
            self._running[wish.node_id].pop(wish.instance_id, None)
        await self._voices["deployer"].propose(came_true(wish), lease=Lease("deployer", 1))

    async def _ask(self, port: int) -> None:
        """Read page after page of what people look at, for ever."""
        caller = await opened(port, "")
        number = 0
        while True:
            path = f"/{PATHS[number % len(PATHS)]}?limit=100"
            began = time.perf_counter()
            status, _, answer = await caller.ask("GET", path)
            if status != 200:  # noqa: PLR2004
                raise RuntimeError(f"{path}: {status} {answer[:200]!r}")
            self._reads_ms.append((time.perf_counter() - began) * 1000)
            number += 1
            await asyncio.sleep(READ_EVERY_S)

    async def _settled(self) -> None:
        """Return when the read models have all that is recorded by now, or after a while."""
        until = time.perf_counter() + SETTLE_S
        while time.perf_counter() < until:
            reached, head = self._passage.projected, self._follower.head
            if self._follower.caught_up and reached and reached[-1][0] >= head > 0:
                return
            await asyncio.sleep(READ_EVERY_S)


def _cpu_s(processes: Mapping[str, subprocess.Popen[bytes]]) -> dict[str, float]:
    """Return the CPU time of every process so far (s), and of this one, which plays the fleet."""
    pids = {name: process.pid for name, process in processes.items()} | {"(the fleet)": os.getpid()}
    times = {name: psutil.Process(pid).cpu_times() for name, pid in pids.items()}
    return {name: each.user + each.system for name, each in times.items()}


def peak_mb(pid: int) -> float:
    """Return the most memory that a process ever held (resident, MB)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0


@contextmanager
def told(name: str, environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a service whose lines go to a file."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "services", name],
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def ready(port: int) -> None:
    """Return when the query service answers."""
    async with asyncio.timeout(READY_S):
        while True:
            try:
                caller = await opened(port, "")
                status, _, _ = await caller.ask("GET", "/nodes")
                caller.close()
                if status == 200:  # noqa: PLR2004
                    return
            except (OSError, Unavailable):
                pass
            await asyncio.sleep(0.2)

"""`just bench soak`: the whole platform at work for an hour, and what of it grows."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2
import psutil

from deploy.bench.engines import ROOT
from deploy.bench.growth import Series, drawn, grown
from deploy.bench.table import last_line, percentile, show
from deploy.demo.checks import depth
from deploy.local import engines, ports, processes
from deploy.local.errors import EngineError, say
from deploy.local.supervisor import RECORDS
from deploy.local.up import STATE
from deploy.rabbitmq.permissions import VHOST

MINUTES, SPEED = 60.0, 20.0
LOOK_S, ASK_S, READY_S, STOP_S = 10.0, 0.5, 120.0, 120.0
ENGINES = ("postgres", "rabbitmq")
PATHS = (
    "/nodes",
    "/models",
    "/instances?limit=100",
    "/deployments/status",
    "/queues",
    "/alerts",
    "/decisions?limit=100",
    "/status",
)
MB = 1e6

Kept = dict[str, list[tuple[float, float]]]


def main(arguments: Sequence[str]) -> None:
    """Let the demo's load go on, ask for everything meanwhile, and look at every process.

    `minutes=`: for how long. `speed=`: trace seconds per second, as the demo's.
    """
    given = dict(argument.split("=", 1) for argument in arguments)
    minutes, speed = float(given.get("minutes", MINUTES)), float(given.get("speed", SPEED))
    root = Path(tempfile.mkdtemp(prefix="qm-bench-soak-"))
    root.chmod(0o711)
    try:
        with _demo(root, speed) as demo:
            seen = asyncio.run(_Soak(root / "demo").run(minutes, demo))
            _end(demo)
        _report(minutes, seen, json.loads((root / "report.json").read_text()))
    finally:
        engines.stop(root / "demo", immediately=True)
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _demo(root: Path, speed: float) -> Iterator[subprocess.Popen[bytes]]:
    """Run the demo without an end on a state of its own."""
    words = ["requests=0", f"speed={speed:g}", f"report={root / 'report.json'}"]
    with (root / "demo.log").open("wb") as told:
        demo = subprocess.Popen(
            [sys.executable, "-m", "deploy.demo", *words],
            cwd=ROOT,
            env={**os.environ, STATE: str(root)},
            stdout=told,
            stderr=subprocess.STDOUT,
        )
        try:
            yield demo
        finally:
            _end(demo)


def _end(demo: subprocess.Popen[bytes]) -> None:
    if demo.poll() is None:
        demo.send_signal(signal.SIGINT)
        demo.wait(STOP_S)


class _Soak:
    """What is seen of a platform in a state directory.

    memory: resident (MB) by process. handles: open files and threads. waiting: messages between
    services. asked_ms: how long answers took.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._chance = random.Random(7)  # noqa: S311 (an order, not a secret)
        self.memory: Kept = defaultdict(list)
        self.handles: Kept = defaultdict(list)
        self.waiting: list[tuple[float, float]] = []
        self.asked_ms: list[float] = []
        self.failed: list[str] = []
        self.restarted = 0
        self._pids: dict[str, int] = {}

    async def run(self, minutes: float, demo: subprocess.Popen[bytes]) -> _Soak:
        """Look and ask for so long."""
        url = await self._door(demo)
        token = (self._state / "api.token").read_text().strip()
        async with httpx2.AsyncClient(
            base_url=url, headers={"authorization": f"Bearer {token}"}, trust_env=False
        ) as client:
            asking = asyncio.create_task(self._ask(client))
            begun = time.monotonic()
            while (now := time.monotonic() - begun) < minutes * 60:
                if demo.poll() is not None:
                    raise EngineError(f"the demo ended after {now:.0f} s: {self._last_words()}")
                await self._look(now)
                await asyncio.sleep(LOOK_S)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        return self

    async def _door(self, demo: subprocess.Popen[bytes]) -> str:
        """Return the gateway's URL once the load is on."""
        async with asyncio.timeout(READY_S):
            while b"ready after" not in (self._state.parent / "demo.log").read_bytes():
                if demo.poll() is not None:
                    raise EngineError(f"the demo did not start: {self._last_words()}")
                await asyncio.sleep(1.0)
        chosen = json.loads((self._state / "ports.json").read_text())
        return f"http://{ports.LOOPBACK}:{chosen['gateway']}"

    def _last_words(self) -> str:
        return (self._state.parent / "demo.log").read_text()[-300:]

    async def _look(self, now: float) -> None:
        for name, process in self._processes():
            self.restarted += self._pids.get(name, process.pid) != process.pid
            self._pids[name] = process.pid
            with suppress(psutil.NoSuchProcess):
                self.memory[name].append((now, _memory(name, process) / MB))
                self.handles[name].append((now, process.num_fds() + process.num_threads()))
        running = engines.attach(self._state)
        with suppress(httpx2.HTTPError):  # the broker's own counts may be late, and are no service
            self.waiting.append((now, await depth(running, VHOST, "")))

    def _processes(self) -> Iterator[tuple[str, psutil.Process]]:
        records = sorted((self._state / RECORDS).glob("*.json"))
        records += [self._state / "run" / f"{name}.json" for name in ENGINES]
        for record in records:
            process = processes.find(processes.recall(record))
            if process is not None:
                yield record.stem, process

    async def _ask(self, client: httpx2.AsyncClient) -> None:
        """Read pages, of now and of the past, and ask why, for ever."""
        head, number = 1, 0
        while True:
            path = self._path(number, head)
            began = time.perf_counter()
            try:
                answer = await client.get(f"/api/v1{path}")
                self.asked_ms.append((time.perf_counter() - began) * 1000)
                if answer.is_server_error:
                    self.failed.append(f"{path}: {answer.status_code}")
                elif path == "/status":
                    head = max(1, answer.json()["data"]["head"])
            except httpx2.HTTPError as error:
                self.failed.append(f"{path}: {error!r}")
            number += 1
            await asyncio.sleep(ASK_S)

    def _path(self, number: int, head: int) -> str:
        path = PATHS[number % len(PATHS)]
        if path == "/status" or number % 3:
            return path
        if number % 2:
            node = f"gpu-node-{self._chance.choice((1, 2))}"
            return f"/explain/node/{node}?as_of={self._chance.randint(1, head)}"
        return f"{path}{'&' if '?' in path else '?'}as_of={self._chance.randint(1, head)}"


def _memory(name: str, process: psutil.Process) -> float:
    """Return what a process holds (bytes); of PostgreSQL without what its processes share."""
    if name != "postgres":
        return float(process.memory_info().rss)
    family = [process, *process.children(recursive=True)]
    return float(sum(each.memory_full_info().uss for each in family if each.is_running()))


def _report(minutes: float, seen: _Soak, report: dict[str, object]) -> None:
    memory = {name: grown(series) for name, series in seen.memory.items()}
    handles = {name: grown(series) for name, series in seen.handles.items()}
    show(
        f"{minutes:g} minutes of work: memory (MB), open files and threads",
        ("process", "over time", "peak", "began", "ended", "an hour", "handles"),
        [
            (
                name,
                drawn(seen.memory[name]),
                each.peak,
                each.began,
                each.ended,
                f"{each.per_hour:+.1f}",
                f"{handles[name].began:.0f} → {handles[name].ended:.0f}",
            )
            for name, each in memory.items()
        ],
    )
    services = {name: each for name, each in memory.items() if name not in ENGINES}
    worst = max(services, key=lambda name: services[name].gained)
    last_line(
        {
            "minutes": minutes,
            "events": int(str(report["events_recorded"])),
            "served": int(str(report["requests_served"])),
            "lost": int(str(report["requests_lost"])),
            "log_verified": bool(report["log_verified"]),
            "restarts": seen.restarted,
            "asked": len(seen.asked_ms),
            "asked_p99_ms": round(percentile(seen.asked_ms, 99), 1),
            "asked_failed": len(seen.failed),
            "largest_service_mb": round(max(each.peak for each in services.values()), 1),
            "most_gained": worst,
            "most_gained_mb": round(services[worst].gained, 1),
            "most_gained_mb_per_hour": round(max(e.per_hour for e in services.values()), 1),
            "handles_gained": round(max(each.gained for each in handles.values())),
            "messages_waiting_most": round(_most(seen.waiting)),
            "messages_waiting_at_last": round(grown(seen.waiting).ended),
        }
    )
    for failure in seen.failed[:5]:
        say(f"an answer failed: {failure}")


def _most(series: Series) -> float:
    return max(value for _, value in series)

"""Keeps processes running: started, watched, restarted at once, stopped together.

Every process is recorded on disk before anything else happens, so that the next start finds what
a killed supervisor left behind.
"""

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from deploy.local import processes
from deploy.local.processes import Recorded

LIVED_LONG_S = 10.0
BACK_OFF_S = 0.25
LONGEST_BACK_OFF_S = 5.0
DRAIN_S = 6.0  # a service gives its work five seconds to end
RECORDS = "parts"


@dataclass(frozen=True)
class Part:
    """One process to be kept running: arguments after `python`, and its whole environment."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(repr=False)


class Supervisor:
    """The processes of one state directory."""

    def __init__(self, state: Path, say: Callable[[str], None]) -> None:
        self._records, self._logs = state / RECORDS, state / "logs"
        self._mark = f"quartermaster={state}"
        self._say = say
        self._watching: dict[str, asyncio.Task[None]] = {}
        self.restarts: Counter[str] = Counter()
        for directory in (self._records, self._logs):
            directory.mkdir(parents=True, exist_ok=True)

    def log_of(self, name: str) -> Path:
        """Return the file a part writes its log to."""
        return self._logs / f"{name}.log"

    def start(self, parts: Iterable[Part]) -> None:
        """Start each part with a fresh log and keep it running until stop()."""
        for part in parts:
            log = self.log_of(part.name)
            if log.exists():
                log.replace(log.with_suffix(".log.1"))
            self._watching[part.name] = asyncio.create_task(self._keep(part, self._spawn(part)))

    def pid_of(self, name: str) -> int | None:
        """Return the id of a part's present process, None while it is down."""
        process = processes.find(processes.recall(self._record(name)))
        return process.pid if process else None

    async def drop(self, name: str) -> None:
        """Kill one part, and start it no more; what it started itself lives on."""
        self._watching.pop(name).cancel()
        process = processes.find(processes.recall(self._record(name)))
        if process is not None:
            _send([process], signal.SIGKILL)
            await _left_after(processes.KILLED_WITHIN_S, [process])
        _forget([self._record(name)])

    async def stop(self) -> None:
        """End all parts and everything below them: asked first, killed after the drain."""
        for task in self._watching.values():
            task.cancel()
        records = [self._record(name) for name in self._watching]
        found = [processes.find(processes.recall(record)) for record in records]
        living = [process for process in found if process is not None]
        below = [child for process in living for child in _below(process)]
        await end(living, DRAIN_S)
        await end([child for child in below if processes.lives(child)], 1.0)
        _forget(records)

    async def _keep(self, part: Part, recorded: Recorded) -> None:
        """Wait for a process to end and start the next one; back off when it dies young again."""
        young = 0
        while True:
            begun = time.monotonic()
            code = await ended(recorded.pid)
            young = young + 1 if time.monotonic() - begun < LIVED_LONG_S else 0
            pause_s = back_off(young)
            self.restarts[part.name] += 1
            self._say(_obituary(part.name, code, pause_s, self.log_of(part.name)))
            await asyncio.sleep(pause_s)
            recorded = self._spawn(part)

    def _spawn(self, part: Part) -> Recorded:
        return processes.spawn(
            [sys.executable, "-X", f"{self._mark}:{part.name}", *part.arguments],
            word=f"{self._mark}:{part.name}",
            record=self._record(part.name),
            log=self.log_of(part.name),
            env=part.environment,
        )

    def _record(self, name: str) -> Path:
        return self._records / f"{name}.json"


async def clear_leftovers(state: Path) -> list[str]:
    """Kill what an earlier supervisor of this state left running; return the names."""
    records = sorted((state / RECORDS).glob("*.json"))
    found = {record.stem: processes.find(processes.recall(record)) for record in records}
    living = {name: process for name, process in found.items() if process is not None}
    below = [child for process in living.values() for child in _below(process)]
    victims = [*living.values(), *below]
    _send(victims, signal.SIGKILL)
    await _left_after(processes.KILLED_WITHIN_S, victims)
    _forget(records)
    return list(living)


def _forget(records: Iterable[Path]) -> None:
    """Take away what is left of ended processes: their bodies where they are ours, their records.

    One that died in this very moment was not found alive, and nobody waits for it any more.
    """
    for record in records:
        if (recorded := processes.recall(record)) is not None:
            processes.reap(recorded.pid)
        record.unlink(missing_ok=True)


def back_off(young: int) -> float:
    """Return the pause (s) before the next start, after `young` early deaths in a row."""
    return 0.0 if young < 2 else min(LONGEST_BACK_OFF_S, BACK_OFF_S * 2.0 ** (young - 2))  # noqa: PLR2004


async def ended(pid: int) -> int | None:
    """Return a child's exit code once it has ended, None if unknown; its body is taken away."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return processes.reap(pid)
    try:
        loop.add_reader(descriptor, over.set)
        await over.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)
    return processes.reap(pid)


async def end(victims: list[psutil.Process], grace_s: float) -> None:
    """Ask processes to end, wait, and kill those that are left."""
    _send(victims, signal.SIGTERM)
    if left := await _left_after(grace_s, victims):
        _send(left, signal.SIGKILL)
        await _left_after(processes.KILLED_WITHIN_S, left)
    for victim in victims:
        processes.reap(victim.pid)


async def _left_after(seconds: float, victims: list[psutil.Process]) -> list[psutil.Process]:
    until = time.monotonic() + seconds
    left = [victim for victim in victims if processes.lives(victim)]
    while left and time.monotonic() < until:
        await asyncio.sleep(0.02)
        left = [victim for victim in left if processes.lives(victim)]
    return left


def _send(victims: Iterable[psutil.Process], what: signal.Signals) -> None:
    for victim in victims:
        with suppress(psutil.NoSuchProcess):
            victim.send_signal(what)


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _obituary(name: str, code: int | None, pause_s: float, log: Path) -> str:
    when = f"in {pause_s:.2g} s" if pause_s else "now"
    return f"{name} {_how(code)} and is started again {when}; its log is {log}"


def _how(code: int | None) -> str:
    if code is None:
        return "ended"
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"

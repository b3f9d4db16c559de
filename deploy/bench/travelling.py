"""Events on their way: proposed over RabbitMQ, recorded, published, received by a follower."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import uvloop

from contracts.envelope import Draft
from contracts.events.environment import EnvironmentCreated
from deploy.bench.appending import TEXT
from services.chassis import bus
from services.chassis.clock import SystemClock
from services.chassis.follower import Follower
from services.chassis.ids import uuid7
from services.chassis.proposer import Proposer

TYPES = frozenset({"environment.created"})
CLOCK = SystemClock()
MESSAGES_IN_FLIGHT = 8
PER_PROPOSAL = 100
TICK_S = 0.005
PROCESSES = multiprocessing.get_context("spawn")
Pipe = Any


@dataclass(frozen=True)
class Urls:
    """How the proposer and the follower connect."""

    gateway: str
    scheduler: str


def _draft() -> Draft:
    event = EnvironmentCreated(environment_id="e", name="n", description=TEXT)
    return Draft(f"environment/{uuid7()}", event)


def _in_process(main: Callable[..., Coroutine[Any, Any, None]], *arguments: Any) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(*arguments))


async def _follow(url: str, wanted: int, pipe: Pipe) -> None:
    """Say when all of history was read; then, for each event, when it came."""
    connection = await bus.connect("scheduler", url)
    follower = Follower(connection, "scheduler", TYPES, CLOCK)
    history, news = 0, dict[str, float]()
    begun, is_told = time.perf_counter(), False

    def tell() -> None:
        nonlocal is_told
        if follower.live and not is_told:
            is_told = True
            pipe.send((history, time.perf_counter() - begun))

    follower.on_moved = tell
    async for batch in follower.batches():
        now = time.perf_counter()
        if is_told:
            news.update((event.event_id, now) for event in batch)
        else:
            history += len(batch)
        if len(news) >= wanted:
            break
    pipe.send(news)
    await connection.close()


def follow(url: str, wanted: int, pipe: Pipe) -> None:
    """Run a follower in a process of its own, for so many new events."""
    _in_process(_follow, url, wanted, pipe)


async def _propose_batches(url: str, count: int, pipe: Pipe) -> None:
    connection = await bus.connect("gateway", url)
    proposer = Proposer(connection, "gateway", CLOCK)
    room = asyncio.Semaphore(MESSAGES_IN_FLIGHT)

    async def one() -> None:
        async with room:
            await proposer.propose_all([[_draft()] for _ in range(PER_PROPOSAL)])

    begun = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(count // PER_PROPOSAL)))
    pipe.send(begun)
    await connection.close()


async def _propose_singles(url: str, per_second: int, seconds: float, pipe: Pipe) -> None:
    """Propose at a fixed pace, whatever the answers do, and tell when each was proposed."""
    connection = await bus.connect("gateway", url)
    proposer = Proposer(connection, "gateway", CLOCK)
    sent: dict[str, float] = {}
    waiting: set[asyncio.Task[Any]] = set()
    begun, total = time.perf_counter(), int(per_second * seconds)
    while len(sent) < total:
        due = min(total, int((time.perf_counter() - begun) * per_second) + 1)
        while len(sent) < due:
            event_id = uuid7()
            sent[event_id] = time.perf_counter()
            task = asyncio.create_task(proposer.propose(_draft(), event_ids=[event_id]))
            waiting.add(task)
            task.add_done_callback(waiting.discard)
        await asyncio.sleep(TICK_S)
    await asyncio.gather(*waiting)
    pipe.send(sent)
    await connection.close()


def propose_batches(url: str, count: int, pipe: Pipe) -> None:
    """Run the proposer of batches in a process of its own."""
    _in_process(_propose_batches, url, count, pipe)


def propose_singles(url: str, per_second: int, seconds: float, pipe: Pipe) -> None:
    """Run the proposer of singles in a process of its own."""
    _in_process(_propose_singles, url, per_second, seconds, pipe)


@dataclass(frozen=True)
class Journey:
    """One run: history read before it (events, s), and for each event its way (s)."""

    history_events: int
    history_s: float
    ways_s: list[float]
    last_at: float
    begun_at: float

    @property
    def events_per_s(self) -> float:
        """Events received per second, from the first proposal to the last receipt."""
        return len(self.ways_s) / (self.last_at - self.begun_at)

    @property
    def history_per_s(self) -> float:
        """Events read from history per second, the follower's start included."""
        return self.history_events / self.history_s


def journey(urls: Urls, count: int, propose: Callable[..., None], *arguments: Any) -> Journey:
    """Let one process follow and another propose; return what the follower saw of it."""
    here, there = PROCESSES.Pipe()
    following = PROCESSES.Process(target=follow, args=(urls.scheduler, count, there))
    following.start()
    read, read_s = here.recv()
    from_proposer, to_here = PROCESSES.Pipe()
    proposing = PROCESSES.Process(target=propose, args=(urls.gateway, *arguments, to_here))
    proposing.start()
    sent = from_proposer.recv()
    seen: dict[str, float] = here.recv()
    for process in (following, proposing):
        process.join()
    last = max(seen.values())
    if isinstance(sent, dict):
        ways = [seen[event_id] - at for event_id, at in sent.items()]
        return Journey(read, read_s, ways, last, min(sent.values()))
    return Journey(read, read_s, [0.0] * len(seen), last, sent)

"""A broker, a journal and its log in this process, for tests of one service at a time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from contracts.envelope import Draft, Event, Lease
from contracts.events.control import LeaseAcquired
from services.chassis.clock import SystemClock
from services.chassis.health import Health
from services.chassis.memory import MemoryBroker
from services.chassis.proposer import Proposer
from services.chassis.run import Context
from services.journal.adapters.memory import MemoryLog
from services.journal.adapters.memory_board import jobs_in_memory
from services.journal.handlers import Journal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

DEADLINE_S = 20.0


@dataclass
class World:
    """What a service meets: a bus, and a log that other services write to."""

    broker: MemoryBroker
    log: MemoryLog
    clock: SystemClock = field(default_factory=SystemClock)

    def context(self, service: str) -> Context:
        return Context(service, self.clock, asyncio.Event(), Health(service), None)

    async def record(self, service: str, *drafts: Draft) -> int:
        """Record what another service would have said; return the last position."""
        bus = self.broker.bus(service)
        proposer = Proposer(bus, service, self.clock)
        try:
            return (await proposer.propose(*drafts)).position
        finally:
            await bus.close()

    async def as_leader(self, service: str, draft: Draft) -> int:
        """Record what a leading service would have said, in a new epoch of its lease."""
        stream = f"lease/{service}"
        epoch = sum(1 for row in self.log._rows if row["stream"] == stream) + 1
        taken = LeaseAcquired(name=service, epoch=epoch, holder="a test")
        await self.record(service, Draft(stream, taken, expected_version=epoch - 1))
        bus = self.broker.bus(service)
        try:
            proposer = Proposer(bus, service, self.clock)
            return (await proposer.propose(draft, lease=Lease(service, epoch))).position
        finally:
            await bus.close()

    def facts(self, event: type[Event], **where: Any) -> list[Any]:
        """Return the recorded events of one class, in order, whose fields are so."""
        rows = [row for row in self.log._rows if row["type"] == event.type]
        found = [event.model_validate(orjson.loads(row["data"])) for row in rows]
        return [e for e in found if all(getattr(e, k) == v for k, v in where.items())]


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    broker, clock = MemoryBroker(), SystemClock()
    log = MemoryLog(clock)
    bus = broker.bus("journal")
    journal = asyncio.create_task(Journal(bus, log, clock, jobs_=jobs_in_memory(log)).run())
    try:
        yield World(broker, log, clock)
    finally:
        await ended(journal)
        await bus.close()


async def ended(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end; what it failed with is the test's failure."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error


async def until(condition: Callable[[], Any], what: str = "") -> Any:
    """Return what the condition gives once it is true; fail after a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not (value := condition()):
            await asyncio.sleep(0.01)
    return value

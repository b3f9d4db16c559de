"""People and programs of the harness's own on the fleet's broker: they propose, and they follow."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from contracts.catalogue import CATALOGUE
from contracts.envelope import Draft
from contracts.events.environment import EnvironmentCreated
from contracts.events.queue import QueueSampled
from services.chassis import bus
from services.chassis.clock import SystemClock
from services.chassis.follower import Follower
from services.chassis.ids import uuid7
from services.chassis.proposer import Proposer
from tests.in_memory import ended

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.chassis.ports import Bus
    from tests.faults.ground import Ground
    from tests.faults.proxy import FaultProxy

EVERY_TYPE = frozenset(type_ for type_, _ in CATALOGUE)
CLOCK = SystemClock()
GATEWAY, SAMPLER, READER = "gateway", "queue_sampler", "demo"


def through(url: str, line: FaultProxy) -> str:
    """Return a URL that leads through a proxy."""
    parts = urlsplit(url)
    credentials = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{credentials}@127.0.0.1:{line.port}"))


@asynccontextmanager
async def connected(
    ground: Ground, user: str, line: FaultProxy | None = None
) -> AsyncIterator[Bus]:
    """Connect as a service, through a proxy where one is given."""
    url = ground.engines.amqp_url(user)
    made = await bus.connect(user, through(url, line) if line else url)
    try:
        yield made
    finally:
        await made.close()


def an_environment() -> Draft:
    """Return a fact that harms nobody, of a stream of its own."""
    name = f"fault-{uuid7()}"
    return Draft(f"environment/{name}", EnvironmentCreated(environment_id=name, name=name))


def a_sample() -> Draft:
    """Return telemetry about a model that is not there."""
    event = QueueSampled(model_id="nobody", length=1, ready=1, unacknowledged=0)
    return Draft("queue-samples/nobody", event)


def proposer(of: Bus, service: str = GATEWAY, patience_s: float = 60.0) -> Proposer:
    """Return a proposer who repeats itself for so long."""
    return Proposer(of, service, CLOCK, patience_s=patience_s)


class Reader:
    """Follows everything from the beginning, and keeps which event came at which position."""

    def __init__(self, of: Bus) -> None:
        self.positions: list[int] = []
        self.ids: dict[int, str] = {}
        self._follower = Follower(of, READER, EVERY_TYPE, CLOCK)

    async def run(self) -> None:
        """Follow for ever."""
        async for batch in self._follower.batches():
            self.positions += [event.position for event in batch]
            self.ids |= {event.position: event.event_id for event in batch}

    def has_reached(self, head: int) -> bool:
        """Tell whether all up to a position came, once each and in order; raises if not so."""
        came = self.positions
        assert came == list(range(1, len(came) + 1)), "a reader saw a gap, a double or disorder"
        return len(came) >= head


@asynccontextmanager
async def reading(ground: Ground, line: FaultProxy | None = None) -> AsyncIterator[Reader]:
    """Read the whole log on the side for the length of a block."""
    async with connected(ground, READER, line) as of:
        reader = Reader(of)
        task = asyncio.create_task(reader.run())
        try:
            yield reader
        finally:
            await ended(task)

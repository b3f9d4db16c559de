"""The models' queues: requests come by the seed, and every ready worker takes them one by one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.queue_sampler.state import Failure, Reading

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contracts.types import QueueAddress
    from services.queue_sampler.state import Answer, Probe
    from tests.simulation.machines import Machine
    from tests.simulation.weather import Sky

INFERENCE_S = 2.0
TICK_S = 1.0


@dataclass
class Queue:
    """One model's queue (messages), and how many come a second just now."""

    waiting: float = 0.0
    published: float = 0.0
    rate: float = 0.0
    until: float = 0.0


class Load:
    """All queues; also what the sampler takes for a Management API."""

    def __init__(self, sky: Sky, models: Iterable[str], machines: list[Machine]) -> None:
        self._sky, self._machines = sky, machines
        self.queues = {model: Queue() for model in models}

    async def run(self) -> None:
        """Let requests come and go, for ever."""
        while True:
            await asyncio.sleep(TICK_S)
            for model, queue in self.queues.items():
                self._move(model, queue)

    def _move(self, model: str, queue: Queue) -> None:
        chance, now = self._sky.chances.load, self._sky.loop.time()
        if now >= queue.until:
            queue.rate = chance.choice((0.0, 0.0, 0.2, 1.0, 5.0))
            queue.until = now + chance.uniform(20.0, 200.0)
        come = queue.rate * TICK_S
        ready = sum(
            body.model == model and body.ready_at <= now
            for machine in self._machines
            for body in machine.living
        )
        queue.published += come
        queue.waiting = max(0.0, queue.waiting + come - ready * TICK_S / INFERENCE_S)

    async def read(self, address: QueueAddress, _: str) -> Answer:
        """Return a queue's count."""
        await asyncio.sleep(self._sky.delay_s())
        if self._sky.comes("load_failed"):
            return Failure("unreachable", "the broker of the models does not answer")
        queue = self.queues[address.name]
        return Reading(
            ready=round(queue.waiting), unacknowledged=0, published_total=int(queue.published)
        )

    async def probe(self, _: QueueAddress, __: str) -> Probe | Failure:
        """Look at nothing: probes are switched off here."""
        raise NotImplementedError

    async def close(self) -> None:
        """Do nothing: there is no connection."""

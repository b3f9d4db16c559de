"""Publishes the trace's requests to their models' queues, each when its time has come."""

import asyncio
import time
from collections.abc import Iterable, Sequence

from deploy.demo.link import connected, declare, lasting, send
from deploy.demo.messages import RESULTS, Work, queue_of
from deploy.demo.trace import Request


class Publisher:
    """One publisher; `published` counts by id, so a repeated publish counts once."""

    def __init__(self, url: str, speed: float) -> None:
        self._url, self._speed = url, speed
        self.published: dict[str, str] = {}

    async def declare(self, models: Sequence[str]) -> None:
        """Make the queues of models and results before anybody needs them."""
        await lasting(lambda: self._declare(models))

    async def run(self, requests: Iterable[Request]) -> None:
        """Publish every request at `at_s` after now, in trace seconds; return after the last.

        A request whose confirm was lost with the broker is published again: workers may then see
        it twice, the collector counts it once.
        """
        begun = time.monotonic()
        left = iter(requests)
        waiting: list[Request] = []
        await lasting(lambda: self._publish(left, waiting, begun))

    async def _declare(self, models: Sequence[str]) -> None:
        async with connected(self._url, "demo declares") as connection:
            queues = [queue_of(model) for model in models]
            await declare(await connection.channel(), RESULTS, *queues)

    async def _publish(self, left: Iterable[Request], waiting: list[Request], begun: float) -> None:
        async with connected(self._url, "demo publishes") as connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            for request in _with_first(waiting, left):
                await asyncio.sleep(begun + request.at_s / self._speed - time.monotonic())
                work = Work(request.id, request.model, request.exec_s, time.time())
                await send(channel, queue_of(request.model), work.encode(), request.id)
                self.published[request.id] = request.model


def _with_first(waiting: list[Request], left: Iterable[Request]) -> Iterable[Request]:
    """Yield the request that was not confirmed yet, then the rest; each waits until the next."""
    while waiting:
        yield waiting[0]
        waiting.pop()
    for request in left:
        waiting.append(request)
        yield request
        waiting.pop()

"""Collects results and counts them by id: the demo's only truth about what was served."""

import asyncio
from collections import Counter

from aio_pika.abc import AbstractIncomingMessage

from deploy.demo.link import connected, lasting
from deploy.demo.messages import RESULTS, Result, decode_result

PREFETCH = 100


class Collector:
    """What came back, the first result of each id; `repeated` counts the others."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.served: dict[str, Result] = {}
        self.repeated: Counter[str] = Counter()
        self.unreadable = 0

    async def run(self) -> None:
        """Collect until cancelled; a lost broker is waited for."""
        await lasting(self._collect)

    def take(self, result: Result) -> None:
        """Count one result."""
        if result.id in self.served:
            self.repeated[result.id] += 1
        else:
            self.served[result.id] = result

    async def _collect(self) -> None:
        async with connected(self._url, "demo collects") as connection:
            channel = await connection.channel(publisher_confirms=False)
            lost = asyncio.Event()
            channel.close_callbacks.add(lambda *_: lost.set())
            await channel.set_qos(prefetch_count=PREFETCH)
            queue = await channel.get_queue(RESULTS, ensure=False)
            await queue.consume(self._on_message)
            await lost.wait()
            raise ConnectionError("the broker was lost")

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        try:
            self.take(decode_result(message.body))
        except (ValueError, TypeError):
            self.unreadable += 1
        await message.ack()

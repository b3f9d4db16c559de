"""A worker's output, as far as it is, and as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from services.agent.handlers.memory import Memory
from services.agent.handlers.outside import Outside
from services.chassis.errors import NotFound

NEW_OUTPUT_S = 0.2


class Reading:
    """Reads logs; a follower is let go when the worker has ended or the agent ends."""

    def __init__(self, memory: Memory, outside: Outside) -> None:
        self._memory, self._outside = memory, outside
        self.closing = False

    async def logs(self, instance_id: str, tail: int, *, follow: bool) -> AsyncIterator[bytes]:
        """Return the last lines, then what comes; NotFound when there is no such instance."""
        if instance_id not in self._memory.state.instances:
            raise NotFound(f"there is no instance {instance_id}", code="unknown_instance")
        text, offset = await asyncio.to_thread(self._outside.logs.last_lines, instance_id, tail)
        return self._chunks(instance_id, text.encode(), offset, follow=follow)

    async def _chunks(
        self, instance_id: str, first: bytes, offset: int, *, follow: bool
    ) -> AsyncIterator[bytes]:
        yield first
        while follow and not self.closing:
            # Asked before reading: what a dying worker wrote last is still read.
            live = self._live(instance_id)
            chunk, offset = await asyncio.to_thread(self._outside.logs.read_on, instance_id, offset)
            if chunk:
                yield chunk
            elif not live:
                return
            else:
                await self._outside.clock.sleep(NEW_OUTPUT_S)

    def _live(self, instance_id: str) -> bool:
        instance = self._memory.state.instances.get(instance_id)
        return instance is not None and instance.live

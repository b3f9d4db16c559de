"""Commands that touch the same stream are carried out one after the other."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable


class Turns:
    """One queue per stream, kept only while somebody waits in it.

    It spares conflicts within this process; between processes the journal is the judge.
    """

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def take(self, streams: Iterable[str]) -> AsyncIterator[None]:
        """Hold the turn on all of these streams; taken in one order, so none waits for ever."""
        async with AsyncExitStack() as stack:
            for stream in sorted(set(streams)):
                await stack.enter_async_context(self._turn(stream))
            yield

    @asynccontextmanager
    async def _turn(self, stream: str) -> AsyncIterator[None]:
        lock = self._locks.setdefault(stream, asyncio.Lock())
        self._users[stream] = self._users.get(stream, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._users[stream] -= 1
            if not self._users[stream]:
                del self._users[stream], self._locks[stream]

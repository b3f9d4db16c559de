"""One read for all who ask the same at the same time: begun after the last of them asked.

As with a group commit: while a read of a thing runs, all who ask for the same thing wait for the
next one together. Nobody is given what was read before they asked, so nothing is stale, and whoever
wrote something finds it. Many eyes on one page cost about as much as two.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

WAIT_S = 0.25  # for the read before, which may be stuck where the next one would not be

V = TypeVar("V")


class Shared(Generic[V]):
    """Reads by what they are of."""

    def __init__(self, *, wait_s: float = WAIT_S) -> None:
        self._wait_s = wait_s
        self._running: dict[Hashable, asyncio.Task[V]] = {}
        self._next: dict[Hashable, asyncio.Task[V]] = {}

    async def read(self, of: Hashable, begin: Callable[[], Coroutine[Any, Any, V]]) -> V:
        """Return what a read begun from now on returns, or raise what it raises.

        of: all that the answer depends on. Who stops waiting stops nobody else's read.
        """
        task = self._next.get(of)
        if task is None:
            before = self._running.get(of)
            task = asyncio.create_task(self._behind(before, of, begin))
            (self._running if before is None else self._next)[of] = task
            task.add_done_callback(_taken_note_of)
        return await asyncio.shield(task)

    async def _behind(
        self,
        before: asyncio.Task[V] | None,
        of: Hashable,
        begin: Callable[[], Coroutine[Any, Any, V]],
    ) -> V:
        if before is not None:
            await asyncio.wait([before], timeout=self._wait_s)
            self._running[of] = self._next.pop(of)
        mine = self._running[of]
        try:
            return await begin()
        finally:
            if self._running.get(of) is mine:
                del self._running[of]


def _taken_note_of(task: asyncio.Task[Any]) -> None:
    """Look at how it ended, for perhaps nobody waits for it any more."""
    if not task.cancelled():
        task.exception()

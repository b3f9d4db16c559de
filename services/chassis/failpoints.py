"""Failpoints: named places where a test or the simulator may fail, delay or kill; else no-ops."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

JOURNAL_COMMITTED = "journal: committed, not yet published"
JOURNAL_PUBLISHED = "journal: published, the cursor not yet moved"
JOURNAL_ANSWERING = "journal: committed, not yet answered"
REBUILD_FILLED = "rebuild: filled, not yet indexed"
REBUILD_COMPARED = "rebuild: compared, not yet swapped in"

_armed: dict[str, Callable[[], Awaitable[None]]] = {}


async def reach(place: str) -> None:
    """Do what this place is armed with; nothing, in production."""
    if _armed and (action := _armed.get(place)) is not None:
        await action()


@contextmanager
def armed(place: str, action: Callable[[], Awaitable[None]]) -> Iterator[None]:
    """Do `action` whenever `place` is reached inside the block."""
    _armed[place] = action
    try:
        yield
    finally:
        _armed.pop(place, None)

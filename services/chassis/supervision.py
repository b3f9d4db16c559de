"""One failure out of many: a group of tasks that fails, fails as its first error says."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self, TypeVar

from services.chassis.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator
    from types import TracebackType

T = TypeVar("T")


class Together:
    """Tasks that end together: the first error cancels the others and the block, and is raised.

    Unlike asyncio.TaskGroup before Python 3.13 it never forgets that it was cancelled because a
    task failed in the same moment: whoever tries again on an error would then go on for ever.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._error: BaseException | None = None
        self._in_block = self._interrupted = False

    async def __aenter__(self) -> Self:
        self._parent = asyncio.current_task()
        self._cancelling = self._parent.cancelling() if self._parent else 0
        self._in_block = True
        return self

    def create_task(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or (error := task.exception()) is None or self._error is not None:
            return
        self._error = error
        self._cancel_all()
        if self._in_block and self._parent is not None:
            self._interrupted = self._parent.cancel()

    def _cancel_all(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def __aexit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> None:
        self._in_block = False
        is_told = isinstance(error, asyncio.CancelledError)
        if self._interrupted and self._parent is not None:
            if not is_told:  # the block ended before it was interrupted: take that off again
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
            is_told = self._parent.uncancel() > self._cancelling
        if error is not None:
            self._cancel_all()
        while self._tasks:
            try:
                await asyncio.wait(self._tasks)
            except asyncio.CancelledError:
                is_told = True
                self._cancel_all()
        if is_told:
            raise asyncio.CancelledError
        is_own_error = error is not None and not isinstance(error, asyncio.CancelledError)
        if self._error is not None and not is_own_error:
            raise self._error


@contextmanager
def one_failure() -> Iterator[None]:
    """Raise the first error of a task group instead of the group."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise _leaf(group) from group


def _leaf(group: BaseExceptionGroup) -> BaseException:
    first = group.exceptions[0]
    return _leaf(first) if isinstance(first, BaseExceptionGroup) else first


@contextmanager
def ending_only_when_told(doing: str) -> Iterator[None]:
    """End a task that was told to end while a broker's client worked for it, and no other.

    The client mixes that up both ways: while it closes a channel it takes our end for an error of
    the channel and goes on; and a connection that it gives up ends whoever waits for something on
    it as if that task had been told to: nobody is told of that end, and nobody tries again.
    """
    told = _told_to_end()
    try:
        yield
    except asyncio.CancelledError as error:
        if _told_to_end() > told:
            raise
        raise Unavailable(f"{doing}: the connection was given up") from error
    except Exception as error:
        if _told_to_end() > told:
            raise asyncio.CancelledError from error
        raise
    if _told_to_end() > told:
        raise asyncio.CancelledError


def _told_to_end() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


@asynccontextmanager
async def begun(work: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    """Let work go on while others do theirs; what nobody waited for is ended."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

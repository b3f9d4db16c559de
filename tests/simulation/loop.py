"""An event loop without a clock, sockets or threads: virtual time, and an order that a seed draws."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from inspect import iscoroutine
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine


@dataclass(eq=False)
class Process:
    """What lives and dies together: everything that was started in its context.

    A dead process is never run again, not even to clean up; a frozen one goes on when thawed.
    """

    name: str
    dead: bool = False
    frozen: bool = False
    held: list[Any] = field(default_factory=list)


WORLD = Process("world")
PROCESS: ContextVar[Process] = ContextVar("process", default=WORLD)


class DeadlockError(Exception):
    """Nothing can ever happen again."""


class _Timers:
    """Stands where a loop has its selector: waiting is moving the time."""

    def __init__(self, loop: DetLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        """Move the time to the next timer."""
        if timeout is None:
            raise DeadlockError("nothing is ready and no timer is set")
        if timeout > 0:
            self._loop.moment = max(self._loop.moment, self._loop.next_timer())
        return []

    def close(self) -> None:
        """Do nothing."""


class _Ready:
    """The callbacks that may run now; which of them is next, the seed says."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._handles: list[Any] = []

    def __len__(self) -> int:
        return len(self._handles)

    def append(self, handle: Any) -> None:
        process = handle._context.get(PROCESS, WORLD)
        if process.dead:
            return
        (process.held if process.frozen else self._handles).append(handle)

    def popleft(self) -> Any:
        handles = self._handles
        place = self._chance.randrange(len(handles)) if len(handles) > 1 else 0
        handles[place], handles[-1] = handles[-1], handles[place]
        return handles.pop()

    def clear(self) -> None:
        self._handles.clear()

    def sift(self, process: Process) -> None:
        """Take out what belongs to a process that died or froze."""
        mine = [each for each in self._handles if each._context.get(PROCESS, WORLD) is process]
        self._handles = [each for each in self._handles if each not in mine]
        if process.frozen and not process.dead:
            process.held += mine


class _Numbered:
    """What has a place in a set that follows from the order of making, not from its address."""

    numbers = count()

    def __init__(self, *given: Any, **more: Any) -> None:
        self._number = next(_Numbered.numbers)
        super().__init__(*given, **more)

    def __hash__(self) -> int:
        return self._number


class _Task(_Numbered, asyncio.Task[Any]):
    pass


class _Future(_Numbered, asyncio.Future[Any]):
    pass


class DetLoop(asyncio.BaseEventLoop):
    """The loop. `moment` is the time (s); `steps` counts the callbacks that were run."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self.moment = 0.0
        self._selector = _Timers(self)
        self._ready: Any = _Ready(chance)
        self._clock_resolution = 1e-9
        self._kept: list[Any] = []
        self.set_task_factory(self._task)
        _Numbered.numbers = count()

    def time(self) -> float:
        """Return the virtual time (s)."""
        return self.moment

    def next_timer(self) -> float:
        """Return when the first timer is due."""
        return self._scheduled[0]._when  # type: ignore[attr-defined,no-any-return]

    def begin(self, process: Process, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start work in a process."""
        token = PROCESS.set(process)
        try:
            return self.create_task(work)
        finally:
            PROCESS.reset(token)

    def kill(self, process: Process) -> None:
        """Let nothing of a process ever run again."""
        process.dead = True
        process.held.clear()
        self._ready.sift(process)

    def freeze(self, process: Process) -> None:
        """Let nothing of a process run until it is thawed."""
        process.frozen = True
        self._ready.sift(process)

    def thaw(self, process: Process) -> None:
        """Let a process go on, with all that happened meanwhile at once."""
        process.frozen = False
        held, process.held = process.held, []
        for handle in held:
            self._ready.append(handle)

    def create_future(self) -> asyncio.Future[Any]:
        """Return a new future."""
        return _Future(loop=self)

    def run_in_executor(self, _: Any, func: Callable[..., Any], *given: Any) -> Any:
        """Call it here and now: there are no threads."""
        future = self.create_future()
        try:
            future.set_result(func(*given))
        except Exception as error:  # noqa: BLE001 (it is handed on)
            future.set_exception(error)
        return future

    def _task(self, loop: Any, work: Any, **more: Any) -> asyncio.Task[Any]:
        task = _Task(work, loop=loop, **more)
        self._kept.append(task)  # a collected coroutine would clean up: a dead process does not
        return task

    def _process_events(self, event_list: Any) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def close(self) -> None:
        """End; what is still under way is closed here, where nobody hears what it says to that."""
        for task in self._kept:
            task._log_destroy_pending = False
            work = task.get_coro()
            if iscoroutine(work):
                with suppress(BaseException):
                    work.close()
        self._kept.clear()
        super().close()

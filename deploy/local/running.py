"""One run at a time in a state directory, ended by Ctrl-C or SIGTERM in good order."""

import asyncio
import fcntl
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from deploy.local.errors import EngineError
from deploy.local.places import make_state

_Value = TypeVar("_Value")


@contextmanager
def only_run(state: Path) -> Iterator[None]:
    """Hold the right to use a state directory; raises EngineError when another run has it.

    The lock lies beside the directory, which may be wiped, and ends with its process.
    """
    file = make_state(state.parent) / f"{state.name}.lock"
    with file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EngineError(
                f"another run uses {state}: stop it, or set QM_STATE to another directory"
            ) from None
        yield


def until_stopped(work: Coroutine[Any, Any, _Value]) -> _Value | None:
    """Return what the work returns, or None when it was told to stop and has cleaned up."""
    with asyncio.Runner() as runner:
        return runner.run(_until_stopped(work))


async def _until_stopped(work: Coroutine[Any, Any, _Value]) -> _Value | None:
    task = asyncio.ensure_future(work)
    stopping = False

    def stop() -> None:
        nonlocal stopping
        if not stopping:  # a second Ctrl-C must not break the cleaning up
            stopping = True
            task.cancel()

    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(name, stop)
    try:
        return await task
    except asyncio.CancelledError:
        if not stopping:
            raise
        return None

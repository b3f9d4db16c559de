"""Workers: a process for each job, which ends when this one does."""

from __future__ import annotations

import asyncio
import os
import sys

from services.chassis.errors import Unavailable

GRACE_S = 3.0
NICENESS = 10  # appends come first


async def worker(job_id: str) -> None:
    """Do one job in a process of its own, to its end; raises Unavailable when that fails.

    The worker's standard input is a pipe of ours: however this process ends, it ends too.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.journal", "work", job_id, stdin=asyncio.subprocess.PIPE
    )
    os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        await _end(process)
        raise
    if code:
        raise Unavailable(f"the worker of {job_id} ended with {code}")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), GRACE_S)
        except TimeoutError:
            process.kill()
            await process.wait()

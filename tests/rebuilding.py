"""A rebuild in a process of its own, so that it can be killed: URL, batch, failpoint or `-`."""

import asyncio
import os
import signal
import sys

from services.chassis import failpoints
from services.chassis.clock import SystemClock
from services.chassis.database import connect_pool
from services.projector.service import Parts, Sizes


async def rebuild(url: str, batch: int, killed_at: str) -> None:
    """Carry out whatever is to be rebuilt, or die on the way."""
    database = await connect_pool(url, service="projector", max_size=6)
    parts = Parts(database, Sizes(batch=batch, build_batch=batch, series_length=5))
    rebuilder = parts.rebuilder(SystemClock(), lambda *_: None)

    async def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with failpoints.armed(killed_at, kill):
        await rebuilder.begin()
        await parts.live.catch_up()
        await rebuilder.look()
    await database.close()


if __name__ == "__main__":
    asyncio.run(rebuild(sys.argv[1], int(sys.argv[2]), sys.argv[3]))

"""Rows 1 to 7: the broker ends, freezes, blocks, loses queues and bindings; proposals are bad."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import psutil

from deploy.local import processes
from tests.faults.registry import row

if TYPE_CHECKING:
    from tests.faults.ground import Ground

FROZEN_S = 20.0  # twice the heartbeat


@row(
    1,
    "broker stops, restarts",
    "buffers are bounded, the cursor republishes, nothing recorded is lost",
    "SIGTERM, then SIGKILL of the node; started again on its data",
)
async def stops(ground: Ground) -> None:
    for name, end in (("stopped", ground.broker.stop), ("killed", ground.broker.kill)):
        async with ground.trial(f"broker-{name}"):
            await asyncio.to_thread(end)
            await ground.restart_engines()


@row(
    2,
    f"broker frozen {FROZEN_S:g} s",
    "a command is refused within seconds, reads go on, workers live; nothing stale lands",
    f"SIGSTOP of the node for {FROZEN_S:g} s, twice its heartbeat",
)
async def freezes(ground: Ground) -> None:
    recorded = processes.find(processes.recall(ground.broker.record))
    assert isinstance(recorded, psutil.Process)
    async with ground.trial("broker-frozen", kill_worker=False):
        alive = {worker.pid for worker in ground.workers()}
        async with ground.frozen(recorded):
            until = time.monotonic() + FROZEN_S
            while time.monotonic() < until:
                await ground.query.one("/status")
                await asyncio.sleep(0.5)
        assert alive == {worker.pid for worker in ground.workers()}, "workers ended"

"""The node's GPUs as they are now, also when the driver is slow or silent."""

from __future__ import annotations

import asyncio

from contracts.types import Gpu, GpuUse
from services.agent.handlers.outside import Outside
from services.agent.state import State
from services.chassis.errors import Unavailable
from services.chassis.health import Health

DRIVER_S = 2.0


class GpuWatch:
    """Asks the driver, at most one question at a time; a silent driver leaves the last answer."""

    def __init__(self, state: State, outside: Outside, health: Health) -> None:
        self._state, self._outside, self._health = state, outside, health
        self._last: tuple[GpuUse, ...] = ()
        self._asking: asyncio.Task[tuple[GpuUse, ...]] | None = None

    async def look(self) -> tuple[GpuUse, ...]:
        """Return every GPU, with the processes on it that are none of our workers'."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        try:
            async with asyncio.timeout(DRIVER_S):
                self._last = await asyncio.shield(self._asking)
            self._health.report("gpus", True)
        except TimeoutError:
            self._health.report("gpus", False, "the GPU driver does not answer")
        except Unavailable as error:
            self._health.report("gpus", False, error.detail)
        else:
            self._learn()
        return self._last

    async def _ask(self) -> tuple[GpuUse, ...]:
        gpus = await asyncio.to_thread(self._outside.gpus.use)
        if not any(gpu.foreign_pids for gpu in gpus):
            return gpus
        ours = await asyncio.to_thread(self._outside.processes.owners)
        return tuple(_without(gpu, ours) for gpu in gpus)

    def _learn(self) -> None:
        known = {
            gpu.uuid: Gpu(uuid=gpu.uuid, index=gpu.index, name=gpu.name, memory_mb=gpu.memory_mb)
            for gpu in self._last
        }
        if known != self._state.gpus:
            self._state.gpus = known
            self._state.change += 1


def _without(gpu: GpuUse, ours: dict[int, str]) -> GpuUse:
    foreign = tuple(pid for pid in gpu.foreign_pids if pid not in ours)
    return gpu.model_copy(update={"foreign_pids": foreign})

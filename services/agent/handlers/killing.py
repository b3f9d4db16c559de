"""Kill one process by its pid: a worker's, or one that computes on a GPU of this node."""

from __future__ import annotations

import asyncio

from contracts.http.agent import KillCommand, Killed
from services.agent.decide.commands import on_kill
from services.agent.handlers.gpu_watch import GpuWatch
from services.agent.handlers.memory import Memory
from services.agent.handlers.outside import Outside
from services.agent.handlers.refusing import error_of
from services.chassis.errors import Refused, Unavailable

DEATH_S, POLL_S = 2.5, 0.05


class Killing:
    """Answers only when the process is dead."""

    def __init__(self, memory: Memory, gpus: GpuWatch, outside: Outside) -> None:
        self._memory, self._gpus, self._outside = memory, gpus, outside

    async def kill(self, pid: int, command: KillCommand) -> Killed:
        """Return whether it was there; Refused when it is neither a worker's nor on a GPU."""
        refusal = on_kill(self._memory.state, command, self._outside.clock.now())
        if refusal is not None:
            raise error_of(refusal)
        self._memory.state.kill_epoch = command.fence.epoch
        await self._memory.commit()
        if not await asyncio.to_thread(self._outside.processes.alive, pid):
            return Killed(pid=pid, found=False)
        await self._must_be_ours(pid)
        found = await asyncio.to_thread(self._outside.processes.kill, pid)
        await self._dead(pid)
        return Killed(pid=pid, found=found)

    async def _must_be_ours(self, pid: int) -> None:
        if pid in await asyncio.to_thread(self._workers_pids):
            return
        if any(pid in gpu.foreign_pids for gpu in await self._gpus.look()):
            return
        detail = f"process {pid} is no worker's and computes on no GPU of this node"
        raise Refused(detail, code="not_ours", field="pid")

    def _workers_pids(self) -> set[int]:
        processes = self._outside.processes
        live = [i for i in self._memory.state.instances.values() if i.live and i.pid]
        return {pid for i in live for pid in processes.tree(i.worker)} | set(processes.owners())

    async def _dead(self, pid: int) -> None:
        clock = self._outside.clock
        deadline = clock.monotonic() + DEATH_S
        while await asyncio.to_thread(self._outside.processes.alive, pid):
            if clock.monotonic() >= deadline:
                raise Unavailable(f"process {pid} was killed and has not died yet", code="undead")
            await clock.sleep(POLL_S)

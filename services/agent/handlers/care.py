"""From a worker's first moment to its last: is it ready, has it died, must it be made to."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any

from contracts.types import InstanceState
from services.agent.handlers.memory import Memory
from services.agent.handlers.outside import Outside
from services.agent.state import Instance, Worker

LEFTOVERS_S = 1.0  # what children of a dead worker get to end by themselves
SWEEP_S, KILL_AGAIN_S = 0.1, 0.5
PROBE_FIRST_S, PROBE_S = 0.05, 0.5
TAIL_BYTES = 2048


class Care:
    """Looks after every live worker in tasks; `broken` fails when one of them does."""

    def __init__(self, memory: Memory, outside: Outside) -> None:
        self._memory, self._outside, self._clock = memory, outside, outside.clock
        self._tasks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._deadlines: dict[str, float] = {}
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def look_after(self, instance: Instance, age_s: float = 0.0) -> None:
        """Watch a worker that runs, and whether it gets ready if it is starting."""
        self._run("watch", instance.instance_id, self._watch(instance))
        if instance.state == "starting":
            self._run("ready", instance.instance_id, self._get_ready(instance, age_s))

    def end(self, instance_id: str, grace_s: float) -> None:
        """Ask a worker to end, and kill it after its grace; asked again, the sooner end counts."""
        deadline = self._clock.monotonic() + grace_s
        self._deadlines[instance_id] = min(deadline, self._deadlines.get(instance_id, deadline))
        if ("end", instance_id) not in self._tasks:
            self._run("end", instance_id, self._end(instance_id))

    async def sweep(self, worker: Worker) -> None:
        """Return once nothing of a worker lives; what will not go is killed again and again."""
        deadline = self._clock.monotonic() + LEFTOVERS_S
        while await asyncio.to_thread(self._outside.processes.tree, worker):
            if self._clock.monotonic() >= deadline:
                await asyncio.to_thread(self._outside.processes.signal, worker, signal.SIGKILL)
            await self._clock.sleep(SWEEP_S)

    async def settle(self, instance_id: str, exit_code: int | None, **facts: object) -> None:
        """Note a worker's confirmed death; its secrets are removed."""
        await asyncio.to_thread(self._outside.folders.forget_secrets, instance_id)
        instance = self._memory.state.instances[instance_id]
        to: InstanceState = "failed" if instance.state == "starting" else "exited"
        why = {} if instance.error_code or instance.state == "stopping" else _unasked(exit_code)
        self._memory.state.move(instance_id, to, **{**why, **facts, "exit_code": exit_code})
        self._deadlines.pop(instance_id, None)
        await self._memory.commit_surely()
        known = frozenset(self._memory.state.instances)
        await asyncio.to_thread(self._outside.folders.keep_only, known)

    async def close(self) -> None:
        """Stop looking; the workers live on."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.broken.cancel()

    async def _watch(self, instance: Instance) -> None:
        exit_code = await self._outside.processes.gone(instance.worker)
        await self.sweep(instance.worker)
        await self.settle(instance.instance_id, exit_code)

    async def _get_ready(self, instance: Instance, age_s: float) -> None:
        began = self._clock.monotonic() - max(0.0, age_s)
        folders, pause = self._outside.folders, PROBE_FIRST_S
        places = folders.ready_file(instance.instance_id), folders.log(instance.instance_id)
        while self._state_of(instance) == "starting":
            ready = await asyncio.to_thread(self._outside.is_ready, instance.readiness, *places)
            waited_s = self._clock.monotonic() - began
            if self._state_of(instance) != "starting":
                return
            if ready:
                await self._memory.move(instance.instance_id, "ready", load_s=round(waited_s, 3))
                return
            if waited_s > instance.ready_timeout_s:
                await self._give_up(instance)
                return
            await self._clock.sleep(pause)
            pause = min(2 * pause, PROBE_S)

    async def _give_up(self, instance: Instance) -> None:
        self._memory.state.note(
            instance.instance_id,
            error_code="ready_timeout",
            error=f"the worker was not ready within {instance.ready_timeout_s:g} s",
        )
        self.end(instance.instance_id, instance.stop_grace_s)
        await self._memory.commit_surely()

    async def _end(self, instance_id: str) -> None:
        processes = self._outside.processes
        worker = self._memory.state.instances[instance_id].worker
        await asyncio.to_thread(processes.signal, worker, signal.SIGTERM)
        while self._live(instance_id):
            left_s = self._deadlines.get(instance_id, 0.0) - self._clock.monotonic()
            if left_s <= 0:
                await asyncio.to_thread(processes.signal, worker, signal.SIGKILL)
                left_s = KILL_AGAIN_S
            wait_s = min(left_s, KILL_AGAIN_S)
            await self._memory.until(lambda: not self._live(instance_id), wait_s)

    def _live(self, instance_id: str) -> bool:
        instance = self._memory.state.instances.get(instance_id)
        return instance is not None and instance.live

    def _state_of(self, instance: Instance) -> str:
        return self._memory.state.instances[instance.instance_id].state

    def _run(self, kind: str, instance_id: str, work: Coroutine[Any, Any, None]) -> None:
        key = (kind, instance_id)
        task = asyncio.create_task(work, name=f"{kind} {instance_id}")
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._ended(key, done))

    def _ended(self, key: tuple[str, str], task: asyncio.Task[None]) -> None:
        self._tasks.pop(key, None)
        if not task.cancelled() and (error := task.exception()) and not self.broken.done():
            self.broken.set_exception(error)


def _unasked(exit_code: int | None) -> dict[str, str]:
    how = "with an unknown code" if exit_code is None else f"with code {exit_code}"
    return {"error_code": "exited", "error": f"the worker ended by itself {how}"}

"""The agent: what it answers, and what it does when it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from contracts.http.agent import (
    Fence,
    InstanceAnswer,
    KillCommand,
    Killed,
    NodeStatus,
    StartCommand,
    StopCommand,
    SupportedModels,
)
from contracts.http.agent import (
    Health as HealthAnswer,
)
from contracts.types import GpuUse, InstanceReport
from services.agent.decide.commands import Known, Offer, Refusal, on_start, on_stop
from services.agent.handlers.care import TAIL_BYTES, Care
from services.agent.handlers.gpu_watch import GpuWatch
from services.agent.handlers.killing import Killing
from services.agent.handlers.memory import Memory
from services.agent.handlers.outside import Log, Outside, Terms
from services.agent.handlers.reading import Reading
from services.agent.handlers.refusing import error_of
from services.agent.handlers.starting import Starting
from services.agent.handlers.upkeep import Upkeep
from services.agent.handlers.waking import wake
from services.agent.state import Instance, State
from services.chassis.errors import NotFound
from services.chassis.health import Health

ENDED_REPORTED = 64
CONFIRM_S = 2.0  # how long a stop waits for the death beyond its grace


class Agent:
    """One node's agent. `wake` before anything else; `run` beside the routes; `close` at the end.

    The caller of every method is already known to be the control plane.
    """

    def __init__(
        self,
        state: State,
        offer: Offer,
        outside: Outside,
        terms: Terms,
        health: Health,
        log: Log,
    ) -> None:
        self.state, self._offer, self._outside, self._terms = state, offer, outside, terms
        self._health, self._log = health, log
        self._memory = Memory(state, outside.store, outside.clock, health)
        self._care = Care(self._memory, outside)
        self._gpus = GpuWatch(state, outside, health)
        self._starting = Starting(self._memory, self._care, outside, terms)
        self._killing = Killing(self._memory, self._gpus, outside)
        self._reading = Reading(self._memory, outside)
        self._begun: dict[str, asyncio.Task[None]] = {}

    async def wake(self) -> None:
        """Learn the GPUs and take up the workers of an earlier run."""
        await self._gpus.look()
        await wake(self._memory, self._care, self._outside)

    async def run(self) -> None:
        """Keep house for ever; raises what broke the care of a worker."""
        upkeep = Upkeep(self._memory, self._care, self._outside, self._terms.contact_lease_s)
        keeping = asyncio.ensure_future(upkeep.run())
        try:
            await asyncio.wait({keeping, self._care.broken}, return_when="FIRST_COMPLETED")
            for done in (keeping, self._care.broken):
                if done.done():
                    done.result()
        finally:
            keeping.cancel()

    async def close(self) -> None:
        """End; the workers live on and the next run takes them up."""
        self._reading.closing = True
        await asyncio.gather(*self._begun.values(), return_exceptions=True)
        await self._care.close()

    def touch(self) -> None:
        """Note that the control plane spoke to us."""
        self._memory.touch()

    def health(self) -> HealthAnswer:
        """Return who we are and whether all is well."""
        status = "ok" if self._health.ok else "unhealthy"
        return HealthAnswer(
            status=status,
            node_id=self.state.node_id,
            boot_id=self.state.boot_id,
            version=self._terms.version,
        )

    def models(self) -> SupportedModels:
        """Return what this node serves and can launch."""
        return SupportedModels(
            models=tuple(sorted(self._offer.models)), templates=tuple(sorted(self._offer.templates))
        )

    async def gpus(self) -> tuple[GpuUse, ...]:
        """Return every GPU now."""
        return await self._gpus.look()

    async def status(self, since: int | None, wait_s: float) -> NodeStatus:
        """Return everything; with `since`, once something changed or `wait_s` is over."""
        if since is not None:
            await self._memory.until(lambda: self.state.change != since, wait_s)
        gpus = await self._gpus.look()
        return NodeStatus(
            node_id=self.state.node_id,
            boot_id=self.state.boot_id,
            change=self.state.change,
            version=self._terms.version,
            supported_models=tuple(sorted(self._offer.models)),
            gpus=gpus,
            instances=self._reported(),
        )

    def instances(self) -> tuple[InstanceReport, ...]:
        """Return every instance that is remembered."""
        return tuple(instance.report() for instance in self.state.instances.values())

    async def instance(self, instance_id: str, wait_s: float) -> InstanceAnswer:
        """Return how one is, waiting while it is starting or stopping; NotFound when unknown."""
        await self._settled(instance_id, wait_s)
        if (instance := self.state.instances.get(instance_id)) is None:
            raise NotFound(f"there is no instance {instance_id}", code="unknown_instance")
        return await self._answer(instance)

    async def start(self, command: StartCommand) -> InstanceAnswer:
        """Start a worker, or say how it is when it was started before."""
        instance_id = command.instance_id
        verdict = on_start(self.state, command, self._offer, self._outside.clock.now())
        self._tell("start", instance_id, command.fence, verdict)
        if isinstance(verdict, Refusal):
            raise error_of(verdict)
        if not isinstance(verdict, Known):
            argv = self._starting.reserve(command, verdict)
            task = asyncio.create_task(self._starting.begin(command, argv))
            self._begun[instance_id] = task
            task.add_done_callback(lambda _: self._begun.pop(instance_id, None))
        await self._begun_fully(instance_id)
        return await self._answer(self.state.instances[instance_id])

    async def stop(self, instance_id: str, command: StopCommand) -> InstanceAnswer:
        """End a worker and wait for its death, for its grace and a little; ask again after that."""
        await self._begun_fully(instance_id)
        verdict = on_stop(self.state, instance_id, command, self._outside.clock.now())
        self._tell("stop", instance_id, command.fence, verdict)
        if isinstance(verdict, Refusal):
            raise error_of(verdict)
        self.state.see_stop(instance_id, command.fence)
        if isinstance(verdict, Known):
            await self._memory.commit()
            return await self._ended(instance_id, verdict.instance)
        if verdict.instance.state != "stopping":
            self.state.move(instance_id, "stopping")
        self._care.end(instance_id, command.grace_s)  # a full disk keeps no worker alive
        await self._memory.commit()
        await self._settled(instance_id, command.grace_s + CONFIRM_S)
        return await self._answer(self.state.instances[instance_id])

    async def kill(self, pid: int, command: KillCommand) -> Killed:
        """Kill a process of a worker or on a GPU, and wait for its death."""
        self._log.info("kill", pid=pid, epoch=command.fence.epoch, position=command.fence.position)
        return await self._killing.kill(pid, command)

    async def logs(self, instance_id: str, tail: int, *, follow: bool) -> AsyncIterator[bytes]:
        """Return a worker's output in chunks."""
        return await self._reading.logs(instance_id, tail, follow=follow)

    def _tell(self, verb: str, instance_id: str, fence: Fence, verdict: object) -> None:
        """Log every command, the refused ones too."""
        self._log.info(
            verb,
            instance_id=instance_id,
            epoch=fence.epoch,
            position=fence.position,
            verdict=verdict.code
            if isinstance(verdict, Refusal)
            else type(verdict).__name__.lower(),
        )

    def _reported(self) -> tuple[InstanceReport, ...]:
        """Return the live and the latest that ended, so that an answer stays small."""
        ended = [i.instance_id for i in self.state.instances.values() if not i.live]
        left_out = frozenset(ended[:-ENDED_REPORTED])
        every = self.state.instances.values()
        return tuple(i.report() for i in every if i.instance_id not in left_out)

    async def _begun_fully(self, instance_id: str) -> None:
        if (task := self._begun.get(instance_id)) is not None:
            await asyncio.shield(task)

    async def _settled(self, instance_id: str, wait_s: float) -> None:
        def settled() -> bool:
            instance = self.state.instances.get(instance_id)
            return instance is None or instance.state not in {"starting", "stopping"}

        await self._memory.until(settled, wait_s)

    async def _ended(self, instance_id: str, instance: Instance | None) -> InstanceAnswer:
        if instance is not None:
            return await self._answer(instance)
        report = InstanceReport(
            instance_id=instance_id,
            model_name="unknown",
            gpu_uuid="unknown",
            pid=0,
            state="exited",
            error_code="unknown_instance",
        )
        return InstanceAnswer(instance=report, error_code="unknown_instance")

    async def _answer(self, instance: Instance) -> InstanceAnswer:
        tail = await asyncio.to_thread(self._outside.logs.end, instance.instance_id, TAIL_BYTES)
        return InstanceAnswer(
            instance=instance.report(),
            error=instance.error,
            error_code=instance.error_code,
            load_s=instance.load_s,
            log_tail=tail,
        )

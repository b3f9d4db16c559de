"""What the agent knows: its GPUs, the workers on them, and the newest command seen for each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from pydantic import BaseModel, ConfigDict

from contracts.http.agent import Fence
from contracts.types import (
    BootId,
    Count,
    Gpu,
    GpuUuid,
    InstanceId,
    InstanceReport,
    InstanceState,
    Moment,
    Name,
    NodeId,
    OnLostControl,
    Port,
    Text,
)

ENDED_KEPT = 256
LIVE: frozenset[InstanceState] = frozenset({"starting", "ready", "stopping"})
TRANSITIONS: dict[InstanceState, frozenset[InstanceState]] = {
    "starting": frozenset({"ready", "stopping", "failed"}),
    "ready": frozenset({"stopping", "exited"}),
    "stopping": frozenset({"exited"}),
    "exited": frozenset(),
    "failed": frozenset(),
}


class Readiness(BaseModel):
    """How a worker is known to serve, with everything filled in."""

    model_config = ConfigDict(frozen=True)
    kind: str
    url: str = ""
    model: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Worker:
    """How a worker's processes are known: the instance, and the first process of its session."""

    instance_id: InstanceId
    pid: int = 0
    born: float = 0.0


class Instance(BaseModel):
    """A worker, live or ended; what is kept on disk holds no secret and no command line.

    born: when `pid` started, in seconds since boot; together they name a process of one boot.
    command_hash: sha256 of the argument list, to see whether two starts meant the same.
    """

    model_config = ConfigDict(frozen=True)
    instance_id: InstanceId
    model_name: Name
    gpu_uuid: GpuUuid
    boot_id: BootId
    template: Name
    fence: Fence
    on_lost_control: OnLostControl = "serve"
    state: InstanceState = "starting"
    readiness: Readiness = Readiness(kind="file")
    ready_timeout_s: float = 600.0
    stop_grace_s: float = 10.0
    asked_at: Moment
    pid: Count = 0
    born: float = 0.0
    command_hash: str = ""
    port: Port | None = None
    endpoint: Text | None = None
    load_s: float | None = None
    exit_code: int | None = None
    error: Text | None = None
    error_code: Text | None = None

    @property
    def live(self) -> bool:
        """Whether something of it may still run, so that its GPU is held."""
        return self.state in LIVE

    @property
    def worker(self) -> Worker:
        """How its processes are known."""
        return Worker(self.instance_id, self.pid, self.born)

    def report(self) -> InstanceReport:
        """Return it as the control plane reads it."""
        return InstanceReport(
            instance_id=self.instance_id,
            model_name=self.model_name,
            gpu_uuid=self.gpu_uuid,
            pid=self.pid,
            state=self.state,
            exit_code=self.exit_code,
            endpoint=self.endpoint,
            error_code=self.error_code,
        )


class Kept(BaseModel):
    """What must survive the agent: everything but the GPUs, which are asked again."""

    format: int = 1
    node_id: NodeId
    boot_id: BootId
    change: Count = 0
    contact_at: Moment | None = None
    kill_epoch: Count = 0
    fences: dict[GpuUuid, Fence] = {}
    stopped_unseen: dict[InstanceId, Fence] = {}
    instances: dict[InstanceId, Instance] = {}


def older(fence: Fence, seen: Fence | None) -> bool:
    """Return whether a command was made before one already seen."""
    return seen is not None and (fence.epoch, fence.position) < (seen.epoch, seen.position)


@dataclass
class State:
    """The agent's knowledge, changed in place by its handlers; deciding only reads it.

    fences: the newest command accepted for each GPU. stopped_unseen: stops of instances that never
    came, so that a start overtaken by its own stop is refused. change: grows with every change.
    """

    node_id: NodeId
    boot_id: BootId
    gpus: dict[GpuUuid, Gpu] = field(default_factory=dict)
    fences: dict[GpuUuid, Fence] = field(default_factory=dict)
    stopped_unseen: dict[InstanceId, Fence] = field(default_factory=dict)
    instances: dict[InstanceId, Instance] = field(default_factory=dict)
    kill_epoch: int = 0
    change: int = 0

    def holder(self, gpu_uuid: GpuUuid) -> Instance | None:
        """Return the live instance on a GPU, if there is one."""
        live = (i for i in self.instances.values() if i.live and i.gpu_uuid == gpu_uuid)
        return next(live, None)

    def begin(self, instance: Instance) -> None:
        """Take a worker that was accepted: from here on its GPU is held."""
        if (holder := self.holder(instance.gpu_uuid)) is not None:
            raise ValueError(f"{instance.gpu_uuid} is held by {holder.instance_id}")
        self.instances[instance.instance_id] = instance
        self._see(instance.gpu_uuid, instance.fence)
        self._prune()
        self.change += 1

    def withdraw(self, instance_id: InstanceId) -> None:
        """Forget a worker of which nothing was started; the same start may come again."""
        del self.instances[instance_id]
        self.change += 1

    def move(self, instance_id: InstanceId, to: InstanceState, **facts: object) -> Instance:
        """Take a worker to another state; ValueError when the table has no such way."""
        instance = self.instances[instance_id]
        if to not in TRANSITIONS[instance.state]:
            raise ValueError(f"{instance_id} cannot go from {instance.state} to {to}")
        return self.note(instance_id, state=to, **facts)

    def note(self, instance_id: InstanceId, **facts: object) -> Instance:
        """Take new facts about a worker."""
        self.instances[instance_id] = self.instances[instance_id].model_copy(update=facts)
        self.change += 1
        return self.instances[instance_id]

    def see_stop(self, instance_id: InstanceId, fence: Fence) -> None:
        """Remember a stop that was accepted, also of an instance that never came."""
        instance = self.instances.get(instance_id)
        if instance is not None:
            self._see(instance.gpu_uuid, fence)
        elif not older(fence, self.stopped_unseen.get(instance_id)):
            self.stopped_unseen[instance_id] = fence
            self._prune()

    def keep(self, contact_at: Moment | None) -> Kept:
        """Return what must survive the agent."""
        return Kept(
            node_id=self.node_id,
            boot_id=self.boot_id,
            change=self.change,
            contact_at=contact_at,
            kill_epoch=self.kill_epoch,
            fences=dict(self.fences),
            stopped_unseen=dict(self.stopped_unseen),
            instances=dict(self.instances),
        )

    def foresee(
        self, contact_at: Moment | None, instance_id: InstanceId, to: InstanceState, **facts: object
    ) -> Kept:
        """Return what must survive the agent once a worker is in another state."""
        later = replace(self, instances=dict(self.instances))
        later.move(instance_id, to, **facts)
        return later.keep(contact_at)

    def recall(self, kept: Kept) -> None:
        """Take up what an earlier run of the agent kept."""
        self.change, self.kill_epoch = kept.change + 1, kept.kill_epoch
        self.fences, self.stopped_unseen = dict(kept.fences), dict(kept.stopped_unseen)
        self.instances = dict(kept.instances)

    def _see(self, gpu_uuid: GpuUuid, fence: Fence) -> None:
        if not older(fence, self.fences.get(gpu_uuid)):
            self.fences[gpu_uuid] = fence

    def _prune(self) -> None:
        """Forget the oldest ended; their GPUs' fences go on refusing them."""
        ended = [i for i, instance in self.instances.items() if not instance.live]
        for instance_id in ended[: max(0, len(ended) - ENDED_KEPT)]:
            del self.instances[instance_id]
        for instance_id in list(self.stopped_unseen)[:-ENDED_KEPT]:
            del self.stopped_unseen[instance_id]

"""What the monitor remembers of the log: the nodes, and the instances it must watch on each."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import singledispatch
from typing import TYPE_CHECKING, ClassVar, Literal

from contracts import catalogue
from contracts.envelope import Cause
from contracts.events.instance import (
    InstanceDied,
    InstanceStarted,
    InstanceStartFailed,
    InstanceStartRequested,
    InstanceStopped,
    InstanceStopRequested,
)
from contracts.events.node import (
    FleetSilenceCleared,
    FleetSilenceSuspected,
    NodeCameOnline,
    NodeDeleted,
    NodeInventoryChanged,
    NodeRegistered,
    NodeUpdated,
    NodeWentOffline,
)
from contracts.types import Gpu

if TYPE_CHECKING:
    from datetime import datetime

    from contracts.envelope import Event, Recorded
    from contracts.http.agent import NodeStatus
    from contracts.types import GpuUse

Phase = Literal["starting", "started", "stopping"]


@dataclass(slots=True)
class Instance:
    """A worker that is to be, is, or was asked to end on a node.

    position: of the last event that changed its phase, its `cause`; an older answer says nothing
    about it.
    """

    instance_id: str
    model_id: str
    node_id: str
    gpu_uuid: str
    boot_id: str
    cause: Cause
    phase: Phase = "starting"
    pid: int | None = None

    @property
    def position(self) -> int:
        """Return the position its phase stands since."""
        return self.cause.position


@dataclass(slots=True)
class Node:
    """A node as recorded; `online` is None until it has answered or been given up.

    introduced_by: what made it one of ours.
    """

    node_id: str
    agent_url: str
    introduced_by: Cause
    online: bool | None = None
    boot_id: str | None = None
    gpus: tuple[Gpu, ...] = ()
    supported_models: tuple[str, ...] = ()
    agent_version: str = ""
    instances: dict[str, Instance] = field(default_factory=dict)


@dataclass
class State:
    """The fold: nodes with their live instances, and whether we suspect ourselves."""

    TYPES: ClassVar[frozenset[str]] = catalogue.types(
        (
            NodeRegistered,
            NodeUpdated,
            NodeDeleted,
            NodeInventoryChanged,
            NodeWentOffline,
            NodeCameOnline,
            FleetSilenceSuspected,
            FleetSilenceCleared,
            InstanceStartRequested,
            InstanceStarted,
            InstanceStopRequested,
            InstanceStartFailed,
            InstanceStopped,
            InstanceDied,
        )
    )

    nodes: dict[str, Node] = field(default_factory=dict)
    homes: dict[str, str] = field(default_factory=dict)  # instance → node
    suspected: bool = False

    def apply(self, recorded: Recorded) -> None:
        """Fold one event; what concerns an unknown node or instance changes nothing."""
        _fold(catalogue.read(recorded), self, Cause.of(recorded))

    def instance(self, instance_id: str) -> Instance | None:
        """Return a live instance, or None."""
        home = self.nodes.get(self.homes.get(instance_id, ""))
        return home.instances.get(instance_id) if home else None


@singledispatch
def _fold(event: Event, state: State, cause: Cause) -> None:
    raise TypeError(f"the monitor does not fold {event.type} at {cause.position}, {state}")


@_fold.register(NodeRegistered)
@_fold.register(NodeUpdated)
def _register(event: NodeRegistered | NodeUpdated, state: State, cause: Cause) -> None:
    known = state.nodes.get(event.node_id)
    if known is None:
        state.nodes[event.node_id] = Node(event.node_id, event.agent_url, cause)
    else:
        known.agent_url = event.agent_url


@_fold.register(NodeDeleted)
def _delete(event: NodeDeleted, state: State, _cause: Cause) -> None:
    gone = state.nodes.pop(event.node_id, None)
    for instance_id in gone.instances if gone else ():
        state.homes.pop(instance_id, None)


@_fold.register(NodeInventoryChanged)
def _inventory(event: NodeInventoryChanged, state: State, _cause: Cause) -> None:
    if known := state.nodes.get(event.node_id):
        known.boot_id, known.gpus = event.boot_id, event.gpus
        known.supported_models = event.supported_models
        known.agent_version = event.agent_version


@_fold.register(NodeWentOffline)
def _offline(event: NodeWentOffline, state: State, _cause: Cause) -> None:
    if known := state.nodes.get(event.node_id):
        known.online = False


@_fold.register(NodeCameOnline)
def _online(event: NodeCameOnline, state: State, _cause: Cause) -> None:
    if known := state.nodes.get(event.node_id):
        known.online = True


@_fold.register(FleetSilenceSuspected)
def _suspect(_event: FleetSilenceSuspected, state: State, _cause: Cause) -> None:
    state.suspected = True


@_fold.register(FleetSilenceCleared)
def _clear(_event: FleetSilenceCleared, state: State, _cause: Cause) -> None:
    state.suspected = False


@_fold.register(InstanceStartRequested)
def _requested(event: InstanceStartRequested, state: State, cause: Cause) -> None:
    if home := state.nodes.get(event.node_id):
        home.instances[event.instance_id] = Instance(
            event.instance_id,
            event.model_id,
            event.node_id,
            event.gpu_uuid,
            event.boot_id,
            cause,
        )
        state.homes[event.instance_id] = event.node_id


@_fold.register(InstanceStarted)
def _started(event: InstanceStarted, state: State, cause: Cause) -> None:
    if known := state.instance(event.instance_id):
        known.pid, known.cause = event.pid, cause
        if known.phase == "starting":
            known.phase = "started"


@_fold.register(InstanceStopRequested)
def _stopping(event: InstanceStopRequested, state: State, cause: Cause) -> None:
    if known := state.instance(event.instance_id):
        known.phase, known.cause = "stopping", cause


@_fold.register(InstanceStartFailed)
@_fold.register(InstanceStopped)
@_fold.register(InstanceDied)
def _ended(
    event: InstanceStartFailed | InstanceStopped | InstanceDied, state: State, _cause: Cause
) -> None:
    home = state.nodes.get(state.homes.pop(event.instance_id, ""))
    if home:
        home.instances.pop(event.instance_id, None)


@dataclass(slots=True)
class Watch:
    """What this process itself has seen of a node since it began to watch it; never recorded.

    Seconds are the local monotonic clock's. `absent` counts the answers in a row that should have
    listed a started instance and did not.
    """

    began_s: float
    answered_s: float | None = None
    answered_at: datetime | None = None
    missed: int = 0
    first_missed_s: float | None = None
    error: str = ""
    absent: dict[str, int] = field(default_factory=dict)
    reported_s: float | None = None
    reported: tuple[object, ...] = ()
    answer_ms: float = 0.0
    gpus: tuple[GpuUse, ...] = ()

    @property
    def heard_s(self) -> float:
        """Return when the node last gave a sign, or when we began to listen."""
        return self.began_s if self.answered_s is None else self.answered_s

    def answer(self, now_s: float, now: datetime) -> None:
        """Note an answer: whatever was missed before it is over."""
        self.answered_s, self.answered_at = now_s, now
        self.missed, self.first_missed_s, self.error = 0, None, ""

    def miss(self, now_s: float, error: str) -> None:
        """Note a question without an answer."""
        self.missed += 1
        self.error = error
        if self.first_missed_s is None:
            self.first_missed_s = now_s

    def forgive(self, now_s: float) -> None:
        """Begin to listen anew: it was we who were not there."""
        self.began_s, self.answered_s = now_s, None
        self.missed, self.first_missed_s = 0, None

    def compare(self, node: Node, status: NodeStatus, asked_at: int) -> None:
        """Count, for each instance this answer should list, whether it does."""
        seen = {report.instance_id for report in status.instances}
        alive = {pid for gpu in status.gpus for pid in gpu.foreign_pids}
        for instance in node.instances.values():
            due = instance.phase == "started" and instance.position <= asked_at
            if not due or instance.instance_id in seen or instance.pid in alive:
                self.absent.pop(instance.instance_id, None)
            else:
                self.absent[instance.instance_id] = self.absent.get(instance.instance_id, 0) + 1
        for gone in self.absent.keys() - node.instances.keys():
            del self.absent[gone]

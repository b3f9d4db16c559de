"""What the deployer remembers of the log: where agents are, and what is wanted of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import singledispatch
from typing import TYPE_CHECKING, ClassVar

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
    NodeDeleted,
    NodeInventoryChanged,
    NodeRegistered,
    NodeUpdated,
    ProcessKillAsked,
    ProcessKilled,
    ProcessKillFailed,
)
from contracts.http.agent import Fence
from contracts.types import Launch, OnLostControl, QueueAddress

if TYPE_CHECKING:
    from contracts.envelope import Event, Recorded


@dataclass(frozen=True, slots=True)
class Instance:
    """An instance that was asked for and has not ended; `stop` is set once it is to end.

    wanted_by: what asked for it; unwanted_by: what asked for its end.
    """

    instance_id: str
    model_id: str
    model_name: str
    node_id: str
    gpu_uuid: str
    boot_id: str
    launch: Launch
    queue: QueueAddress | None
    on_lost_control: OnLostControl
    fence: Fence
    requested_at: datetime
    wanted_by: Cause
    started: bool = False
    pid: int | None = None
    stop: Fence | None = None
    unwanted_by: Cause | None = None


@dataclass(frozen=True, slots=True)
class Kill:
    """A process that somebody wants killed; `position` is that of the asking."""

    position: int
    node_id: str
    pid: int
    asked_at: datetime
    asked_by: Cause


@dataclass
class State:
    """The fold: agents by node, open instances by id, open kills by their position.

    homes: which node said last that it has a GPU.
    """

    TYPES: ClassVar[frozenset[str]] = catalogue.types(
        (
            NodeRegistered,
            NodeUpdated,
            NodeDeleted,
            NodeInventoryChanged,
            InstanceStartRequested,
            InstanceStarted,
            InstanceStopRequested,
            InstanceStartFailed,
            InstanceStopped,
            InstanceDied,
            ProcessKillAsked,
            ProcessKilled,
            ProcessKillFailed,
        )
    )

    agents: dict[str, str] = field(default_factory=dict)  # node → URL of its agent
    homes: dict[str, str] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)
    kills: dict[int, Kill] = field(default_factory=dict)

    def apply(self, recorded: Recorded) -> None:
        """Fold one event; what concerns an instance that has ended changes nothing."""
        _fold(catalogue.read(recorded), self, recorded)


@singledispatch
def _fold(event: Event, state: State, recorded: Recorded) -> None:
    raise TypeError(f"the deployer does not fold {event.type} at {recorded.position}, {state}")


@_fold.register(NodeRegistered)
@_fold.register(NodeUpdated)
def _register(event: NodeRegistered | NodeUpdated, state: State, _recorded: Recorded) -> None:
    state.agents[event.node_id] = event.agent_url


@_fold.register(NodeDeleted)
def _delete(event: NodeDeleted, state: State, _recorded: Recorded) -> None:
    state.agents.pop(event.node_id, None)


@_fold.register(NodeInventoryChanged)
def _inventory(event: NodeInventoryChanged, state: State, _recorded: Recorded) -> None:
    state.homes |= {gpu.uuid: event.node_id for gpu in event.gpus}


@_fold.register(InstanceStartRequested)
def _requested(event: InstanceStartRequested, state: State, recorded: Recorded) -> None:
    state.instances[event.instance_id] = Instance(
        instance_id=event.instance_id,
        model_id=event.model_id,
        model_name=event.model_name,
        node_id=event.node_id,
        gpu_uuid=event.gpu_uuid,
        boot_id=event.boot_id,
        launch=event.launch,
        queue=event.queue,
        on_lost_control=event.on_lost_control,
        fence=Fence(epoch=event.epoch, position=recorded.position),
        requested_at=recorded.recorded_at,
        wanted_by=Cause.of(recorded),
    )


@_fold.register(InstanceStarted)
def _started(event: InstanceStarted, state: State, _recorded: Recorded) -> None:
    if known := state.instances.get(event.instance_id):
        state.instances[event.instance_id] = replace(known, started=True, pid=event.pid)


@_fold.register(InstanceStopRequested)
def _stopping(event: InstanceStopRequested, state: State, recorded: Recorded) -> None:
    known = state.instances.get(event.instance_id)
    if known and known.stop is None:
        stop, cause = Fence(epoch=event.epoch, position=recorded.position), Cause.of(recorded)
        state.instances[event.instance_id] = replace(known, stop=stop, unwanted_by=cause)


@_fold.register(InstanceStartFailed)
@_fold.register(InstanceStopped)
@_fold.register(InstanceDied)
def _ended(
    event: InstanceStartFailed | InstanceStopped | InstanceDied, state: State, _recorded: Recorded
) -> None:
    state.instances.pop(event.instance_id, None)


@_fold.register(ProcessKillAsked)
def _kill_asked(event: ProcessKillAsked, state: State, recorded: Recorded) -> None:
    state.kills[recorded.position] = Kill(
        recorded.position, event.node_id, event.pid, recorded.recorded_at, Cause.of(recorded)
    )


@_fold.register(ProcessKilled)
@_fold.register(ProcessKillFailed)
def _kill_answered(
    event: ProcessKilled | ProcessKillFailed, state: State, recorded: Recorded
) -> None:
    """An answer settles every asking before it: they wanted the same."""
    for position, kill in list(state.kills.items()):
        same = (kill.node_id, kill.pid) == (event.node_id, event.pid)
        if same and position < recorded.position:
            del state.kills[position]

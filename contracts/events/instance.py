"""Instances: worker processes that serve a model on a GPU."""

from typing import Literal

from pydantic import Field

from contracts.envelope import Event
from contracts.types import (
    BootId,
    Count,
    GpuUuid,
    InstanceId,
    Launch,
    ModelId,
    Name,
    NodeId,
    OnLostControl,
    QueueAddress,
    Reason,
    Scalar,
    Text,
)


class InstanceStartAsked(Event):
    """Somebody asked for a model on a node by hand; the scheduler places it and pins it."""

    type = "instance.start_asked"
    ask_id: InstanceId
    model_id: ModelId
    node_id: NodeId
    gpu_index: Count | None = None
    config: dict[str, Scalar] = Field(default_factory=dict)


class InstanceStartRefused(Event):
    """A start asked for by hand cannot be done, and this is why."""

    type = "instance.start_refused"
    ask_id: InstanceId
    model_id: ModelId
    reason: Reason


class InstanceStartRequested(Event):
    """The scheduler wants an instance on this GPU; recorded together with the allocation."""

    type = "instance.start_requested"
    instance_id: InstanceId
    model_id: ModelId
    model_name: Name
    node_id: NodeId
    gpu_uuid: GpuUuid
    gpu_index: Count
    boot_id: BootId
    launch: Launch
    queue: QueueAddress | None = None
    on_lost_control: OnLostControl = "serve"
    pinned: bool = False
    ask_id: InstanceId | None = None
    replaces: InstanceId | None = None
    epoch: Count = 0
    reason: Reason


class InstanceStarted(Event):
    """The worker is ready to serve."""

    type = "instance.started"
    instance_id: InstanceId
    model_id: ModelId
    node_id: NodeId
    gpu_uuid: GpuUuid
    pid: Count
    load_s: float = 0.0
    endpoint: Text | None = None


class InstanceStartFailed(Event):
    """The worker did not come up, and nothing of it is left running."""

    type = "instance.start_failed"
    instance_id: InstanceId
    model_id: ModelId
    node_id: NodeId
    gpu_uuid: GpuUuid
    code: str
    error: Text


class InstanceStopAsked(Event):
    """Somebody asked for an instance to be stopped by hand."""

    type = "instance.stop_asked"
    instance_id: InstanceId
    node_id: NodeId


class InstanceStopRequested(Event):
    """The scheduler wants an instance to end."""

    type = "instance.stop_requested"
    instance_id: InstanceId
    model_id: ModelId
    node_id: NodeId
    gpu_uuid: GpuUuid
    replaced_by: ModelId | None = None
    epoch: Count = 0
    reason: Reason


class InstanceStopped(Event):
    """The worker's death is confirmed after we wanted it."""

    type = "instance.stopped"
    instance_id: InstanceId
    model_id: ModelId
    node_id: NodeId
    gpu_uuid: GpuUuid
    exit_code: int | None = None


class InstanceDied(Event):
    """The worker's death is confirmed and nobody wanted it."""

    type = "instance.died"
    instance_id: InstanceId
    model_id: ModelId
    node_id: NodeId
    gpu_uuid: GpuUuid
    because: Literal["exited", "rebooted", "lost", "lease_ended"]
    exit_code: int | None = None
    log_tail: Text = ""

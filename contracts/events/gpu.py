"""GPUs: who holds which; at most one allocation at any position of the log."""

from typing import Literal

from contracts.envelope import Event
from contracts.types import GpuUuid, InstanceId, ModelId, NodeId, Text

FreedBecause = Literal["stopped", "start_failed", "died", "rebooted", "lease_ended"]


class GpuAllocated(Event):
    """A GPU belongs to an instance from here on."""

    type = "gpu.allocated"
    gpu_uuid: GpuUuid
    node_id: NodeId
    instance_id: InstanceId
    model_id: ModelId


class GpuFreed(Event):
    """A GPU belongs to nobody: its process is confirmed dead, or its machine rebooted."""

    type = "gpu.freed"
    gpu_uuid: GpuUuid
    node_id: NodeId
    instance_id: InstanceId
    because: FreedBecause


class GpuQuarantined(Event):
    """A GPU may not be used: something unknown runs on it, or may."""

    type = "gpu.quarantined"
    gpu_uuid: GpuUuid
    node_id: NodeId
    because: Text
    instance_id: InstanceId | None = None


class GpuReleased(Event):
    """A GPU's quarantine is over."""

    type = "gpu.released"
    gpu_uuid: GpuUuid
    node_id: NodeId
    because: Text

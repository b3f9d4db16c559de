"""Nodes: machines with GPUs and an agent."""

from pydantic import Field

from contracts.envelope import Event
from contracts.types import (
    BootId,
    Count,
    EnvironmentId,
    Gpu,
    GpuUse,
    InstanceReport,
    Moment,
    Name,
    NodeId,
    Scalar,
    Text,
)


class _NodeProperties(Event):
    node_id: NodeId
    environment_id: EnvironmentId
    name: Name
    agent_url: Name
    available_gpu_ids: tuple[Count, ...] = ()
    capabilities: dict[str, Scalar] = Field(default_factory=dict)


class NodeRegistered(_NodeProperties):
    """A node belongs to the fleet; `available_gpu_ids` are the GPU indices we may use."""

    type = "node.registered"


class NodeUpdated(_NodeProperties):
    """A node has these properties now."""

    type = "node.updated"


class NodeDeleted(Event):
    """A node has left the fleet."""

    type = "node.deleted"
    node_id: NodeId
    environment_id: EnvironmentId | None = None


class NodeReported(Event):
    """What a node's agent answered at one moment (telemetry)."""

    type = "node.reported"
    node_id: NodeId
    boot_id: BootId
    gpus: tuple[GpuUse, ...] = ()
    instances: tuple[InstanceReport, ...] = ()
    answer_ms: float = 0.0


class NodeInventoryChanged(Event):
    """A node's boot, GPUs or supported models differ from what was known."""

    type = "node.inventory_changed"
    node_id: NodeId
    boot_id: BootId
    gpus: tuple[Gpu, ...]
    supported_models: tuple[Name, ...]
    agent_version: Text = ""


class NodeWentOffline(Event):
    """A node has not answered for longer than its patience."""

    type = "node.went_offline"
    node_id: NodeId
    silent_s: float
    error: Text
    last_seen_at: Moment | None = None


class NodeCameOnline(Event):
    """A node answers, for the first time or again."""

    type = "node.came_online"
    node_id: NodeId
    boot_id: BootId


class NodeHeartbeat(Event):
    """A node called in by itself (telemetry)."""

    type = "node.heartbeat"
    node_id: NodeId


class FleetSilenceSuspected(Event):
    """More than half of the nodes fell silent at once: we suspect ourselves, and evict nothing."""

    type = "fleet.silence_suspected"
    silent: Count
    nodes: Count
    window_s: float


class FleetSilenceCleared(Event):
    """Enough nodes answer again: silence means what it says."""

    type = "fleet.silence_cleared"
    silent: Count
    nodes: Count


class ProcessKillAsked(Event):
    """Somebody asked for a process on a node to be killed."""

    type = "process.kill_asked"
    node_id: NodeId
    pid: Count


class ProcessKilled(Event):
    """A process on a node was killed, or was not there."""

    type = "process.killed"
    node_id: NodeId
    pid: Count
    found: bool = True


class ProcessKillFailed(Event):
    """A process could not be killed."""

    type = "process.kill_failed"
    node_id: NodeId
    pid: Count
    error: Text

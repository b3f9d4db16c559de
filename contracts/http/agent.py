"""What is said between the control plane and a node's agent."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from contracts.types import (
    BootId,
    Count,
    GpuUse,
    GpuUuid,
    Id,
    InstanceId,
    InstanceReport,
    Launch,
    Moment,
    Name,
    NodeId,
    OnLostControl,
    Seconds,
    Text,
)


class _Body(BaseModel):
    """Input to the agent is strict; its answers may grow fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Fence(_Body):
    """What makes a command newer than another for a GPU: the leader's epoch, then the position."""

    epoch: Count
    position: Count


class SecretFile(_Body):
    """A secret for the worker: a file of mode 0600, named by an environment variable."""

    variable: Id
    content: str = Field(repr=False, max_length=64 * 1024)


class StartCommand(_Body):
    """Start a worker on a GPU; the same instance_id again answers how that instance is.

    POST /instances. 409 when the GPU is held, when the fence is older than the last one seen for
    the GPU, or the boot id is another.
    """

    instance_id: InstanceId
    model_name: Name
    gpu_uuid: GpuUuid
    boot_id: BootId
    launch: Launch
    fence: Fence
    on_lost_control: OnLostControl = "serve"
    secret_files: tuple[SecretFile, ...] = ()
    expires_at: Moment | None = None


class StopCommand(_Body):
    """Stop a worker and confirm its death; POST /instances/{id}/stop. Again: the same answer."""

    fence: Fence
    grace_s: float = Field(default=10.0, ge=0, le=600)
    expires_at: Moment | None = None


class KillCommand(_Body):
    """Kill a process by pid; POST /processes/{pid}/kill. Only workers and processes on a GPU."""

    fence: Fence
    expires_at: Moment | None = None


class Health(_Answer):
    """GET /health."""

    status: str
    node_id: NodeId
    boot_id: BootId
    version: Text = ""


class SupportedModels(_Answer):
    """GET /models: names this node serves ('*' for any) and the templates it can launch."""

    models: tuple[Name, ...]
    templates: tuple[Name, ...]


class NodeStatus(_Answer):
    """GET /status?since=N&wait_s=S: everything at once; waits until `change` differs from `since`.

    `since` and `wait_s` are optional; without them the answer comes at once.
    """

    node_id: NodeId
    boot_id: BootId
    change: Count
    version: Text = ""
    supported_models: tuple[Name, ...]
    gpus: tuple[GpuUse, ...]
    instances: tuple[InstanceReport, ...]


class InstanceAnswer(_Answer):
    """GET /instances/{id}?wait_s=S: waits while it is starting or stopping, at most S seconds."""

    instance: InstanceReport
    error: Text | None = None
    error_code: Text | None = None
    load_s: Seconds | None = None
    log_tail: Text = ""


class Killed(_Answer):
    """The process is dead; `found` is False when it was not there."""

    pid: Count
    found: bool

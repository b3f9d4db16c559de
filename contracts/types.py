"""The small types that events and HTTP bodies are made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

Id = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@+-]*$", min_length=1, max_length=128)
]
EnvironmentId = Id
ModelId = Id
NodeId = Id
InstanceId = Id
StrategyId = Id
WebhookId = Id
AlertId = Annotated[str, StringConstraints(min_length=1, max_length=256)]
GpuUuid = Id
BootId = Id
Name = Annotated[
    str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]+$", min_length=1, max_length=200)
]
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=4000)]
Moment = AwareDatetime
Count = Annotated[int, Field(ge=0, le=2**53)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=1, le=65535)]
Scalar = str | int | float | bool | None


class Value(BaseModel):
    """A part of an event: frozen, and unknown fields of a newer writer are kept."""

    model_config = ConfigDict(frozen=True, extra="allow")


class SecretRef(Value):
    """Where the vault keeps a secret; never the secret itself."""

    secret_id: Id
    version: Annotated[int, Field(ge=1)]


class QueueAddress(Value):
    """A model's queue: `port` is the Management API's, as the first platform had it."""

    host: Name
    port: Port = 15672
    amqp_port: Port = 5672
    vhost: Name = "/"
    name: Name
    username: Name
    password: SecretRef | None = None


class Launch(Value):
    """How a worker is started: a template the agent knows, and its typed parameters."""

    template: Id
    parameters: dict[str, Scalar] = Field(default_factory=dict)


class Gpu(Value):
    """A GPU as its node reports it; the UUID is its identity, the index its place today."""

    uuid: GpuUuid
    index: Count
    name: Text = ""
    memory_mb: Count = 0


class GpuUse(Gpu):
    """A GPU with what it is doing at this moment."""

    memory_used_mb: Count = 0
    utilization_percent: Annotated[float, Field(ge=0, le=100)] = 0.0
    foreign_pids: tuple[int, ...] = ()


InstanceState = Literal["starting", "ready", "stopping", "exited", "failed"]


class InstanceReport(Value):
    """An instance as its agent sees it; `error_code` says why it ended unasked."""

    instance_id: InstanceId
    model_name: Name
    gpu_uuid: GpuUuid
    pid: Count
    state: InstanceState
    exit_code: int | None = None
    endpoint: Text | None = None
    error_code: Id | None = None


class Alternative(Value):
    """One candidate that lost, why, and by which numbers."""

    subject: Text
    code: Id
    numbers: dict[str, Scalar] = Field(default_factory=dict)


class Reason(Value):
    """Why a decision was taken: code, numbers, position and now, and what lost.

    position: the last recorded position the decision stood on; now: the moment it was taken at.
    alternatives: the five best that lost; rejected: how many others were ruled out, by cause.
    """

    code: Id
    numbers: dict[str, Scalar] = Field(default_factory=dict)
    position: Count = 0
    now: Moment | None = None
    strategy: Name | None = None
    alternatives: Annotated[tuple[Alternative, ...], Field(max_length=5)] = ()
    rejected: dict[str, Count] = Field(default_factory=dict)


Severity = Literal["info", "warning", "critical"]
OnLostControl = Literal["serve", "stop"]

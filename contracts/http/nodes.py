"""Nodes as people send them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from contracts.http.gateway import Body, Changes, NewName, Parameters, Whole
from contracts.types import Id

AGENT_PORT = 8090


def _in_order(numbers: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(numbers)) != len(numbers):
        raise ValueError("a GPU is named twice")
    return tuple(sorted(numbers))


AgentUrl = Annotated[
    str,
    StringConstraints(pattern=r"^https?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?/?$"),
    Field(max_length=200),
]
GpuIds = Annotated[tuple[Whole, ...], Field(max_length=1024), AfterValidator(_in_order)]


def with_agent_url(given: Any) -> Any:
    """Accept host and port, as the first platform had them, for the agent's URL."""
    if not isinstance(given, dict) or "host" not in given or "agent_url" in given:
        return given
    rest = {name: value for name, value in given.items() if name not in {"host", "port"}}
    host, port = given["host"], given.get("port", AGENT_PORT)
    shown = f"[{host}]" if ":" in str(host) else host
    return {**rest, "agent_url": f"http://{shown}:{port}"}


class NewNode(Body):
    """POST /nodes; `host` and `port` are accepted in the place of `agent_url`."""

    name: NewName
    environment_id: Id
    agent_url: AgentUrl
    available_gpu_ids: GpuIds = ()
    capabilities: Parameters = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _host_and_port(cls, given: Any) -> Any:
        return with_agent_url(given)


class NodeChanges(Changes):
    """PUT or PATCH /nodes/{id}."""

    name: NewName = ""
    environment_id: Id = ""
    agent_url: AgentUrl = ""
    available_gpu_ids: GpuIds = ()
    capabilities: Parameters = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _host_and_port(cls, given: Any) -> Any:
        return with_agent_url(given)


class KillProcess(Body):
    """POST /nodes/{id}/kill-process, as the first platform had it."""

    pid: Annotated[Whole, Field(ge=1, le=2**31 - 1)]

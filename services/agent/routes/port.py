"""What the routes need of the agent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from contracts.http.agent import (
    Health,
    InstanceAnswer,
    KillCommand,
    Killed,
    NodeStatus,
    StartCommand,
    StopCommand,
    SupportedModels,
)
from contracts.types import GpuUse, InstanceReport


class Agent(Protocol):
    """The agent behind the door."""

    def touch(self) -> None:
        """Note that the control plane spoke to us."""

    def health(self) -> Health:
        """Return who we are and whether all is well."""

    def models(self) -> SupportedModels:
        """Return what this node serves and can launch."""

    async def gpus(self) -> tuple[GpuUse, ...]:
        """Return every GPU now."""

    async def status(self, since: int | None, wait_s: float) -> NodeStatus:
        """Return everything, waiting for a change when `since` is given."""

    def instances(self) -> tuple[InstanceReport, ...]:
        """Return every instance that is remembered."""

    async def instance(self, instance_id: str, wait_s: float) -> InstanceAnswer:
        """Return how one is, waiting while it is starting or stopping."""

    async def start(self, command: StartCommand) -> InstanceAnswer:
        """Start a worker, or say how it is when it was started before."""

    async def stop(self, instance_id: str, command: StopCommand) -> InstanceAnswer:
        """End a worker and wait for its death."""

    async def kill(self, pid: int, command: KillCommand) -> Killed:
        """Kill a process of a worker or on a GPU."""

    async def logs(self, instance_id: str, tail: int, *, follow: bool) -> AsyncIterator[bytes]:
        """Return a worker's output in chunks."""

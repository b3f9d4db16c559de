"""The back end of our own machines: the agent that runs on each of them."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from services.chassis.agents import Access, Agent, Agents
from services.chassis.errors import Refused

if TYPE_CHECKING:
    from contracts.http.agent import (
        InstanceAnswer,
        KillCommand,
        Killed,
        StartCommand,
        StopCommand,
    )


class Place(Protocol):
    """Where a node is spoken to."""

    @property
    def node_id(self) -> str:
        """Return the node."""

    @property
    def url(self) -> str:
        """Return the address of its agent."""


class NodeAgent:
    """Speaks to each node's agent over connections of its own.

    plain_secrets: whether secrets may travel unencrypted to other machines.
    """

    def __init__(self, access: Access, *, plain_secrets: bool = False) -> None:
        self._agents, self._plain_secrets = Agents(access), plain_secrets
        self._clients: dict[str, Agent] = {}

    async def start(self, place: Place, command: StartCommand) -> InstanceAnswer:
        """Start an instance; the same instance_id again answers how that one is."""
        if command.secret_files and not (self._plain_secrets or _private(place.url)):
            raise Refused(
                f"{place.url} is another machine and its line is open: no secret is sent there",
                code="secret_needs_tls",
            )
        return await self._at(place).start(command)

    async def await_ready(self, place: Place, instance_id: str, wait_s: float) -> InstanceAnswer:
        """Return how an instance is, after at most `wait_s` while it starts or stops."""
        return await self._at(place).instance(instance_id, wait_s)

    async def stop(self, place: Place, instance_id: str, command: StopCommand) -> InstanceAnswer:
        """End an instance; what ended before is answered as ended."""
        return await self._at(place).stop(instance_id, command)

    async def kill(self, place: Place, pid: int, command: KillCommand) -> Killed:
        """Kill a process and confirm its death."""
        return await self._at(place).kill(pid, command)

    async def is_left(self, place: Place, gpu_uuid: str, pid: int | None) -> bool:
        """Return whether a GPU is there, and not held by a process, whoever started that."""
        status = await self._at(place).status()
        return any(gpu.uuid == gpu_uuid and pid not in gpu.foreign_pids for gpu in status.gpus)

    async def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()

    def _at(self, place: Place) -> Agent:
        client = self._clients.get(place.url)
        if client is None:
            client = self._clients[place.url] = self._agents.connect(place.url)
        return client


def _private(url: str) -> bool:
    """Return whether nobody else can read what is sent there."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname == "localhost"

"""What workers write, asked of the agents on their nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.chassis.agents import Agent, Agents


class WorkersOverAgents:
    """Makes a connection for each reader: a log that is followed must hold up nobody else's."""

    def __init__(self, agents: Agents) -> None:
        self._agents = agents

    async def logs(
        self, agent_url: str, instance_id: str, tail: int, *, follow: bool
    ) -> AsyncIterator[bytes]:
        """Return a worker's last lines, and with `follow` what comes, until it ends."""
        agent = self._agents.connect(agent_url)
        try:
            chunks = await agent.logs(instance_id, tail, follow=follow)
        except BaseException:
            await agent.close()
            raise
        return _until_its_end(agent, chunks)


async def _until_its_end(agent: Agent, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        await agent.close()

"""POST: start, stop, kill."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from contracts.http.agent import InstanceAnswer, KillCommand, Killed, StartCommand, StopCommand
from services.agent.routes.asked import AskedAgent, AskedInstance

router = APIRouter()
# 0 is our own process group, and 1 is never a worker.
Pid = Annotated[int, Path(ge=2, le=2**22)]


@router.post("/instances")
async def start(agent: AskedAgent, command: StartCommand) -> InstanceAnswer:
    """Start a worker; the same instance_id again answers how that one is."""
    return await agent.start(command)


@router.post("/instances/{instance_id}/stop")
async def stop(
    agent: AskedAgent, instance_id: AskedInstance, command: StopCommand
) -> InstanceAnswer:
    """Stop a worker and wait for its death; what never ran is dead."""
    return await agent.stop(instance_id, command)


@router.post("/processes/{pid}/kill")
async def kill(agent: AskedAgent, pid: Pid, command: KillCommand) -> Killed:
    """Kill a process of a worker, or one that computes on a GPU of this node."""
    return await agent.kill(pid, command)

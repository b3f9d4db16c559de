"""What the routes share: the agent they ask, and the types of what is in their paths."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Path, Query, Request

from contracts.types import InstanceId
from services.agent.routes.port import Agent

LONGEST_WAIT_S = (
    30.0  # below the contact lease, so that a waiting control plane is not a silent one
)


def _agent(request: Request) -> Agent:
    agent: Agent = request.app.state.agent
    return agent


AskedAgent = Annotated[Agent, Depends(_agent)]
AskedInstance = Annotated[InstanceId, Path()]
Wait = Annotated[float, Query(ge=0, le=600, allow_inf_nan=False)]


def bounded(wait_s: float) -> float:
    """Return how long we really wait; a longer wait is answered early and asked again."""
    return min(wait_s, LONGEST_WAIT_S)

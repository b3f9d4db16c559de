"""GET: what the node is and how it does."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from contracts.http.agent import Health, InstanceAnswer, NodeStatus, SupportedModels
from contracts.types import GpuUse, InstanceReport
from services.agent.routes.asked import AskedAgent, AskedInstance, Wait, bounded

MOST_LINES = 10_000
router = APIRouter()


@router.get("/health")
async def health(agent: AskedAgent) -> Health:
    """Return who this node is; the only route without a token."""
    return agent.health()


@router.get("/models")
async def models(agent: AskedAgent) -> SupportedModels:
    """Return what this node serves and can launch."""
    return agent.models()


@router.get("/gpus")
async def gpus(agent: AskedAgent) -> tuple[GpuUse, ...]:
    """Return every GPU now."""
    return await agent.gpus()


@router.get("/status")
async def status(
    agent: AskedAgent,
    since: Annotated[int | None, Query(ge=0)] = None,
    wait_s: Wait = 0.0,
) -> NodeStatus:
    """Return everything; with `since`, once `change` differs from it or `wait_s` is over."""
    return await agent.status(since, bounded(wait_s))


@router.get("/instances")
async def instances(agent: AskedAgent) -> tuple[InstanceReport, ...]:
    """Return every instance that is remembered."""
    return agent.instances()


@router.get("/instances/{instance_id}")
async def instance(
    agent: AskedAgent, instance_id: AskedInstance, wait_s: Wait = 0.0
) -> InstanceAnswer:
    """Return how one is, waiting while it is starting or stopping."""
    return await agent.instance(instance_id, bounded(wait_s))


@router.get("/instances/{instance_id}/logs")
async def logs(
    agent: AskedAgent,
    instance_id: AskedInstance,
    tail: Annotated[int, Query(ge=0, le=MOST_LINES)] = 100,
    *,
    follow: bool = False,
) -> StreamingResponse:
    """Return the last `tail` lines as plain text; `follow` goes on until the worker ends."""
    chunks = await agent.logs(instance_id, tail, follow=follow)
    return StreamingResponse(chunks, media_type="text/plain; charset=utf-8")

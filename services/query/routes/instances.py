"""Reads: GET /instances and /asks."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from contracts.types import InstanceId, ModelId, NodeId
from services.chassis.repeating import Repeated
from services.query.routes.reading import Page, Read, Reader, a_page, one_of


class PageOfInstances(Page):
    """What narrows instances down; active: those that have not ended, or those that have."""

    model_id: ModelId | None = None
    node_id: NodeId | None = None
    state: Literal["requested", "ready", "stopping", "stopped", "failed", "died"] | None = None
    active: bool | None = None


def routes(reader: Reader) -> APIRouter:
    """Return the routes of instances, and of starts asked for by hand."""
    router = APIRouter(tags=["instances"], route_class=Repeated)

    @router.get("/instances")
    async def instances(request: Request, page: Annotated[PageOfInstances, Query()]) -> Response:
        narrow = (page.model_id, page.node_id, page.state, page.active)
        return await a_page(request, reader, "instances", page, *narrow)

    @router.get("/instances/{instance_id}")
    async def instance(
        request: Request, instance_id: InstanceId, read: Annotated[Read, Query()]
    ) -> Response:
        return await one_of(request, reader, "instance", read, instance_id)

    @router.get("/asks/{ask_id}")
    async def ask(request: Request, ask_id: InstanceId, read: Annotated[Read, Query()]) -> Response:
        return await one_of(request, reader, "ask", read, ask_id)

    return router

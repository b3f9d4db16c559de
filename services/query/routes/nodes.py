"""Reads: GET /nodes."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from contracts.types import NodeId
from services.chassis.repeating import Repeated
from services.query.routes.reading import PageOfEnvironment, Read, Reader, a_page, one_of


def routes(reader: Reader) -> APIRouter:
    """Return the routes of nodes, and of what is deployed on them."""
    router = APIRouter(tags=["nodes"], route_class=Repeated)

    @router.get("/nodes")
    async def nodes(request: Request, page: Annotated[PageOfEnvironment, Query()]) -> Response:
        return await a_page(request, reader, "nodes", page, page.environment_id)

    @router.get("/nodes/{node_id}")
    async def node(request: Request, node_id: NodeId, read: Annotated[Read, Query()]) -> Response:
        return await one_of(request, reader, "node", read, node_id)

    @router.get("/deployments/status")
    async def deployments(
        request: Request, page: Annotated[PageOfEnvironment, Query()]
    ) -> Response:
        return await a_page(request, reader, "deployments", page, page.environment_id)

    return router

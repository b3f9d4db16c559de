"""Reads: GET /gpus."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from contracts.types import GpuUuid, NodeId
from services.chassis.repeating import Repeated
from services.query.routes.reading import PageOfEnvironment, Read, Reader, a_page, one_of


class PageOfGpus(PageOfEnvironment):
    """What narrows GPUs down."""

    node_id: NodeId | None = None
    state: Literal["free", "allocated", "quarantined", "offline"] | None = None


def routes(reader: Reader) -> APIRouter:
    """Return the routes of GPUs."""
    router = APIRouter(tags=["gpus"], route_class=Repeated)

    @router.get("/gpus")
    async def gpus(request: Request, page: Annotated[PageOfGpus, Query()]) -> Response:
        narrow = (page.node_id, page.environment_id, page.state)
        return await a_page(request, reader, "gpus", page, *narrow)

    @router.get("/gpus/{uuid}")
    async def gpu(request: Request, uuid: GpuUuid, read: Annotated[Read, Query()]) -> Response:
        return await one_of(request, reader, "gpu", read, uuid)

    return router

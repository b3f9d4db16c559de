"""Reads: GET /queues."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from contracts.types import ModelId
from services.chassis.repeating import Repeated
from services.query.routes.reading import Page, PageOfEnvironment, Read, Reader, a_page, one_of


def routes(reader: Reader) -> APIRouter:
    """Return the routes of queues, by the model that each belongs to."""
    router = APIRouter(tags=["queues"], route_class=Repeated)

    @router.get("/queues")
    async def queues(request: Request, page: Annotated[PageOfEnvironment, Query()]) -> Response:
        return await a_page(request, reader, "queues", page, page.environment_id)

    @router.get("/queues/{model_id}")
    async def queue(
        request: Request, model_id: ModelId, read: Annotated[Read, Query()]
    ) -> Response:
        return await one_of(request, reader, "queue", read, model_id)

    @router.get("/queues/{model_id}/history")
    async def history(
        request: Request, model_id: ModelId, page: Annotated[Page, Query()]
    ) -> Response:
        args = (model_id, reader.samples_kept)
        return await a_page(request, reader, "queue_history", page, *args, numbered=True)

    return router

"""Reads: GET /models."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from contracts.types import ModelId
from services.chassis.repeating import Repeated
from services.query.routes.reading import PageOfEnvironment, Read, Reader, a_page, one_of


def routes(reader: Reader) -> APIRouter:
    """Return the routes of models."""
    router = APIRouter(tags=["models"], route_class=Repeated)

    @router.get("/models")
    async def models(request: Request, page: Annotated[PageOfEnvironment, Query()]) -> Response:
        return await a_page(request, reader, "models", page, page.environment_id)

    @router.get("/models/{model_id}")
    async def model(
        request: Request, model_id: ModelId, read: Annotated[Read, Query()]
    ) -> Response:
        return await one_of(request, reader, "model", read, model_id)

    return router

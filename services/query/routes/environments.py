"""Reads: GET /environments."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from contracts.types import EnvironmentId
from services.chassis.repeating import Repeated
from services.query.routes.reading import Page, Read, Reader, a_page, one_of


def routes(reader: Reader) -> APIRouter:
    """Return the routes of environments."""
    router = APIRouter(tags=["environments"], route_class=Repeated)

    @router.get("/environments")
    async def environments(request: Request, page: Annotated[Page, Query()]) -> Response:
        return await a_page(request, reader, "environments", page)

    @router.get("/environments/{environment_id}")
    async def environment(
        request: Request, environment_id: EnvironmentId, read: Annotated[Read, Query()]
    ) -> Response:
        return await one_of(request, reader, "environment", read, environment_id)

    return router

"""Reads: GET /names/{kind}/{name}."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from contracts.types import Id, Name
from services.chassis.repeating import Repeated
from services.query.routes.reading import Read, Reader, one_of


def routes(reader: Reader) -> APIRouter:
    """Return the route of unique names; 404: never claimed, so claim it at version 0."""
    router = APIRouter(tags=["names"], route_class=Repeated)

    @router.get("/names/{kind}/{name:path}")
    async def one(
        request: Request, kind: Id, name: Name, read: Annotated[Read, Query()]
    ) -> Response:
        return await one_of(request, reader, "name", read, f"{kind}/{name}")

    return router

"""Reads: GET /rebuilds and /rebuilds/{rebuild_id}: as things are now, whatever was before."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from contracts.types import Id
from services.chassis.errors import NotFound
from services.chassis.repeating import Repeated
from services.query.routes.reading import Reader, Waiting, answer

# An order is read from the log itself, so that a position that is waited for is there at once; to
# wait for the read models would be to wait for what is being mended.
_NOW = 0


def routes(reader: Reader) -> APIRouter:
    """Return the routes of rebuilds."""
    router = APIRouter(tags=["rebuilds"], route_class=Repeated)

    @router.get("/rebuilds")
    async def rebuilds(request: Request, _: Annotated[Waiting, Query()]) -> Response:
        found = await reader.one("rebuilds", min_position=_NOW)
        content = found.content or b"[]"
        return answer(request, b'{"items":%b}' % content, found.position, content)

    @router.get("/rebuilds/{rebuild_id}")
    async def rebuild(request: Request, rebuild_id: Id, _: Annotated[Waiting, Query()]) -> Response:
        found = await reader.one("rebuild", rebuild_id, min_position=_NOW)
        if found.content is None:
            raise NotFound(f"there is no rebuild {rebuild_id}")
        return answer(request, found.content, found.position, found.content)

    return router

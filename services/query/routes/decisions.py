"""Reads: GET /decisions."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from contracts.types import ModelId
from services.chassis.repeating import Repeated
from services.query.routes.reading import Page, Position, Reader, a_page


class PageOfDecisions(Page):
    """What narrows decisions down; order `desc` begins with the newest."""

    model_id: ModelId | None = None
    after: Position = 0
    order: Literal["asc", "desc"] = "asc"


def routes(reader: Reader) -> APIRouter:
    """Return the routes of decisions."""
    router = APIRouter(tags=["decisions"], route_class=Repeated)

    @router.get("/decisions")
    async def decisions(request: Request, page: Annotated[PageOfDecisions, Query()]) -> Response:
        name = "decisions" if page.order == "asc" else "latest_decisions"
        return await a_page(request, reader, name, page, page.after, page.model_id, numbered=True)

    return router

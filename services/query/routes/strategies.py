"""Reads: GET /strategies."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from contracts.types import StrategyId
from services.chassis.repeating import Repeated
from services.query.routes.reading import Page, Read, Reader, a_page, one_of


def routes(reader: Reader) -> APIRouter:
    """Return the routes of strategies."""
    router = APIRouter(tags=["strategies"], route_class=Repeated)

    @router.get("/strategies")
    async def strategies(request: Request, page: Annotated[Page, Query()]) -> Response:
        return await a_page(request, reader, "strategies", page)

    @router.get("/strategies/{strategy_id}")
    async def strategy(
        request: Request, strategy_id: StrategyId, read: Annotated[Read, Query()]
    ) -> Response:
        return await one_of(request, reader, "strategy", read, strategy_id)

    return router

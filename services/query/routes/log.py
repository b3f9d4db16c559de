"""Reads: GET /events, /status and /health."""

from collections.abc import Collection
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field, StringConstraints

from contracts.catalogue import TELEMETRY_TYPES
from services.chassis.repeating import Repeated
from services.query.decide.asked import FACTS
from services.query.routes.reading import (
    Page,
    Position,
    Read,
    Reader,
    Waiting,
    a_page,
    one_of,
)

Stream = Annotated[str, StringConstraints(pattern=r"^[^\x00]+$", max_length=400)]


class PageOfEvents(Page):
    """What narrows events down; types: several, repeated or with commas between."""

    after: Position = 0
    types: list[Annotated[str, Field(max_length=2000)]] = Field(default=[], max_length=100)
    stream: Stream | None = None

    def wanted(self) -> list[str] | None:
        """Return the types that are asked for, None for all."""
        names = [name.strip() for each in self.types for name in each.split(",")]
        return [name for name in names if name] or None


def events_of(types: Collection[str] | None) -> str:
    """Return which list has all events of these types; a type that nobody knows may be either."""
    if types and set(FACTS).issuperset(types):
        return "fact_events"
    if types and TELEMETRY_TYPES.issuperset(types):
        return "telemetry_events"
    return "events"


def routes(reader: Reader) -> APIRouter:
    """Return the routes of the log and of how far the read models are behind it."""
    router = APIRouter(tags=["log"], route_class=Repeated)

    @router.get("/events")
    async def events(request: Request, page: Annotated[PageOfEvents, Query()]) -> Response:
        narrow = (page.after, page.wanted())
        if page.stream is None:
            name = events_of(page.wanted())
            return await a_page(request, reader, name, page, *narrow, numbered=True)
        return await a_page(
            request, reader, "events_of_stream", page, *narrow, page.stream, numbered=True
        )

    @router.get("/status")
    async def status(request: Request, read: Annotated[Read, Query()]) -> Response:
        return await one_of(request, reader, "status", read)

    @router.get("/health")
    async def health(read: Annotated[Waiting, Query()]) -> dict[str, str | int]:
        found = await reader.one("status", min_position=read.min_position)
        return {"status": "ok", "service": "query", "position": found.position}

    return router

"""Reads: GET /history/{kind}/{id} and /blame/{event}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Protocol

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from contracts.http.history import Blame, History, Kind, Zoom
from services.chassis.errors import Refused
from services.chassis.repeating import Repeated
from services.query.decide.asked import FACTS, Asked, Blamed
from services.query.routes.as_of import AsOf, then_of
from services.query.routes.cursors import Cursor, cursor_of
from services.query.routes.reading import Page, Read, Reader, answer

if TYPE_CHECKING:
    from services.query.state import Then

_EVENT = r"^([0-9]{1,18}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$"
Id = Annotated[str, Path(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]


class PageOfHistory(Page):
    """Which part of a history, and how near; types: several, repeated or with commas between."""

    zoom: Zoom = "groups"
    order: Literal["asc", "desc"] = "desc"
    since: AsOf | None = Field(default=None, description="From this position or time on.")
    until: AsOf | None = Field(default=None, description="Up to this position or time.")
    types: list[Annotated[str, Field(max_length=2000)]] = Field(default=[], max_length=100)

    def asked(self, kind: Kind, id_: str, cursor: Cursor | None, then: Then | None) -> Asked:
        """Return what is asked for; raises Refused at a type that no history has."""
        named = [name.strip() for each in self.types for name in each.split(",")]
        types = tuple(dict.fromkeys(name for name in named if name))
        if strange := [name for name in types if name not in FACTS]:
            raise Refused(f"histories have no events of type {strange[0]}", field="types")
        return Asked(
            kind,
            id_,
            self.zoom,
            self.limit,
            newest_first=self.order == "desc",
            after=None if cursor is None else int(cursor.key),
            since=self.since,
            until=self.until,
            as_of=then.position if then else None,
            types=types,
            min_position=self.min_position,
        )


class BlameOf(Read):
    """How many causes back, and how deep and how much of what an event led to."""

    causes: Annotated[int, Field(ge=0, le=200)] = 50
    depth: Annotated[int, Field(ge=0, le=30)] = 12
    effects: Annotated[int, Field(ge=0, le=500)] = 100


class TimeMachine(Protocol):
    """What answers."""

    async def history(self, asked: Asked) -> History:
        """Return a page of an entity's history."""

    async def blame(self, asked: Blamed) -> Blame:
        """Return what led to an event, and what it led to."""


def routes(reader: Reader, machine: TimeMachine) -> APIRouter:
    """Return the routes of histories, and of causes."""
    router = APIRouter(tags=["history"], route_class=Repeated)

    @router.get("/history/{kind}/{id_:path}")
    async def history(
        request: Request, kind: Kind, id_: Id, page: Annotated[PageOfHistory, Query()]
    ) -> Response:
        cursor = cursor_of(page.cursor, numbered=True)
        then = await then_of(reader, page, cursor)
        found = await machine.history(page.asked(kind, id_, cursor, then))
        if found.next_cursor is not None:
            pinned = Cursor(found.next_cursor, then.position if then else None)
            found = found.model_copy(update={"next_cursor": str(pinned)})
        return _answer(request, page, found, then)

    @router.get("/blame/{event}")
    async def blame(
        request: Request,
        event: Annotated[str, Path(pattern=_EVENT)],
        wide: Annotated[BlameOf, Query()],
    ) -> Response:
        then = await then_of(reader, wide)
        which = int(event) if event.isdigit() else event
        as_of = then.position if then else None
        asked = Blamed(which, wide.causes, wide.depth, wide.effects, as_of, wide.min_position)
        found = await machine.blame(asked)
        return _answer(request, wide, found, then)

    return router


def _answer(request: Request, read: Read, found: History | Blame, then: Then | None) -> Response:
    """Answer with the JSON of a model that ends with its position, which its tag leaves out."""
    body = read.shown(found.model_dump_json().encode())
    return answer(request, body, found.position, body.rpartition(b',"position":')[0], then)

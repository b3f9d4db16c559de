"""The time machine: what happened to one thing, and what an event came of and led to."""

import re
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Request, Response
from pydantic import AfterValidator

from contracts.http.history import Kind
from services.chassis.repeating import Repeated
from services.gateway.routes.access import READ
from services.gateway.routes.doors import DoorsHere
from services.gateway.routes.reading import forward

router = APIRouter(tags=["history"], route_class=Repeated)
_EVENT = re.compile(r"[0-9]{1,18}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _event(said: str) -> str:
    if not _EVENT.fullmatch(said):
        raise ValueError("a position of the log, or the id of an event, is wanted")
    return said


@router.get("/history/{kind}/{id:path}", dependencies=[READ])
async def history(
    kind: Kind,
    id_: Annotated[str, Path(alias="id", max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")],
    request: Request,
    doors: DoorsHere,
) -> Response:
    """Return what happened to one thing: `zoom` in groups, as a timeline, or as raw events."""
    return await forward(request, doors, f"/history/{kind}/{quote(id_, safe='/:@')}")


@router.get("/blame/{event}", dependencies=[READ])
async def blame(
    event: Annotated[str, Path(max_length=36), AfterValidator(_event)],
    request: Request,
    doors: DoorsHere,
) -> Response:
    """Return what an event, by position or id, came of up to the first cause, and led to."""
    return await forward(request, doors, f"/blame/{event}")

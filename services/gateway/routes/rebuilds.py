"""/rebuilds: order read models to be made anew from history, and see how far they are."""

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import StringConstraints

from contracts.http.rebuilds import NewRebuild
from services.chassis.repeating import Repeated
from services.gateway.decide.rebuilds import AskRebuild
from services.gateway.routes.access import ADMIN, READ
from services.gateway.routes.doors import AskedHere, DoorsHere
from services.gateway.routes.reading import forward

router = APIRouter(prefix="/rebuilds", tags=["rebuilds"], route_class=Repeated)

RebuildId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$", max_length=100)]


@router.post("", dependencies=[ADMIN], status_code=202)
async def ask(new: NewRebuild, asked: AskedHere, doors: DoorsHere) -> Response:
    """Order a rebuild; reads go on as they were until what is new is swapped in."""
    return await doors.carry_out(AskRebuild(new), asked)


@router.get("", dependencies=[READ])
async def rebuilds(request: Request, doors: DoorsHere) -> Response:
    """Return the latest rebuilds, newest first, those begun by a changed projection as well."""
    return await forward(request, doors, "/rebuilds")


@router.get("/{rebuild_id}", dependencies=[READ])
async def rebuild(rebuild_id: RebuildId, request: Request, doors: DoorsHere) -> Response:
    """Return one rebuild: what it is doing, how far it is and how fast, and what came of it."""
    return await forward(request, doors, f"/rebuilds/{rebuild_id}")

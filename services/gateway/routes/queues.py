"""/queues: how much waits for each model, now and before."""

from fastapi import APIRouter, Request, Response

from contracts.types import ModelId
from services.chassis.repeating import Repeated
from services.gateway.routes.access import READ
from services.gateway.routes.doors import DoorsHere
from services.gateway.routes.reading import forward

router = APIRouter(prefix="/queues", tags=["queues"], route_class=Repeated)


@router.get("", dependencies=[READ])
async def queues(request: Request, doors: DoorsHere) -> Response:
    """Return every model's queue, page by page."""
    return await forward(request, doors, "/queues")


@router.get("/{model_id}", dependencies=[READ])
async def queue(model_id: ModelId, request: Request, doors: DoorsHere) -> Response:
    """Return one model's queue."""
    return await forward(request, doors, f"/queues/{model_id}")


@router.get("/{model_id}/history", dependencies=[READ])
async def history(model_id: ModelId, request: Request, doors: DoorsHere) -> Response:
    """Return a queue's samples, newest first; `limit` says how many."""
    return await forward(request, doors, f"/queues/{model_id}/history")

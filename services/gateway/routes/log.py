"""/log: the event log itself."""

import orjson
from fastapi import APIRouter, Response

from services.gateway.routes.access import ADMIN
from services.gateway.routes.doors import DoorsHere

router = APIRouter(prefix="/log", tags=["log"])


@router.post("/verify", dependencies=[ADMIN])
async def verify(doors: DoorsHere) -> Response:
    """Walk the whole log and return whether positions, streams and hash chains are sound."""
    return doors.envelopes.around(orjson.loads(await doors.journal.verify()))

"""/parked: messages that the journal could not record; looked at, tried again, thrown away."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Request, Response

from contracts.http.parked import DropParked
from services.chassis.errors import Conflict
from services.gateway.routes.access import ADMIN
from services.gateway.routes.doors import DoorsHere
from services.gateway.routes.entrance import asker_of

router = APIRouter(prefix="/parked", tags=["parked"])

ParkedId = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]


@router.get("", dependencies=[ADMIN])
async def parked(doors: DoorsHere) -> Response:
    """Return what is parked, the oldest first and 500 at most, with its reasons."""
    return doors.envelopes.around_bytes(await doors.journal.parked())


@router.get("/{parked_id}", dependencies=[ADMIN])
async def one(parked_id: ParkedId, doors: DoorsHere) -> Response:
    """Return one parked message with all that it says."""
    return doors.envelopes.around_bytes(await doors.journal.parked_message(parked_id))


@router.post("/{parked_id}/retry", dependencies=[ADMIN])
async def retry(parked_id: ParkedId, request: Request, doors: DoorsHere) -> Response:
    """Have a message judged again, under the name of who sent it; 409 when it is refused again."""
    came = await doors.journal.retry_parked(parked_id, asker_of(request).name)
    tried = orjson.loads(came)
    if not tried["recorded"]:
        refused = next(each for each in tried["results"] if each["verdict"] != "recorded")
        detail = f"it is refused again and stays parked: {refused['detail']}"
        raise Conflict(detail, code=refused["code"])
    return doors.envelopes.around_bytes(came)


@router.post("/{parked_id}/drop", dependencies=[ADMIN])
async def drop(
    parked_id: ParkedId, asked: DropParked, request: Request, doors: DoorsHere
) -> Response:
    """Throw a message away; who did it and why stands in the log."""
    actor = asker_of(request).name
    return doors.envelopes.around_bytes(
        await doors.journal.drop_parked(parked_id, actor, asked.because)
    )

"""/explain: why something is as it is, and what would have to be different."""

import re
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from contracts.http.explain import Kind
from services.chassis.errors import Refused
from services.gateway.routes.access import READ
from services.gateway.routes.doors import DoorsHere
from services.gateway.routes.reading import MIN_POSITION, least_position

router = APIRouter(tags=["explain"])
PARAMETERS = {"as_of", MIN_POSITION}
_TEXT = r"^[^\x00-\x1f\x7f]+$"


@router.get("/explain/{kind}/{id_:path}", dependencies=[READ])
async def explain(
    kind: Kind,
    id_: Annotated[str, Path(max_length=256, pattern=_TEXT)],
    request: Request,
    doors: DoorsHere,
    as_of: Annotated[
        str | None,
        Query(
            max_length=64,
            description="As if asked then: a position of the log, or a time in ISO 8601.",
        ),
    ] = None,
) -> Response:
    """Return the dominant reason, all others, what lost, what would change it, and its history.

    A model or a node is found by its name, too; a GPU also as `node:index`.
    """
    for name in request.query_params.keys() - PARAMETERS:
        raise Refused("there is no such parameter", field=re.sub(r"[^ -~]", "?", name)[:100])
    least = least_position(request, doors)  # what was just written here is in the answer
    question = {"kind": kind, "id": id_, "as_of": as_of, "min_position": least}
    answer, position = await doors.scheduler.explain(question)
    return doors.envelopes.around_bytes(answer, position=position)

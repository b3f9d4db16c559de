"""/log: the event log itself: jobs that walk all of it, and its events page by page."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import AwareDatetime, StringConstraints

from contracts.http.log import NewJob
from services.chassis.errors import Refused
from services.gateway.routes.access import ADMIN
from services.gateway.routes.doors import Doors, DoorsHere

router = APIRouter(prefix="/log", tags=["log"])

LINES = "application/x-ndjson"
WAIT_S, LOOK_S = 20.0, 0.25
ENDED = frozenset({"done", "failed", "cancelled"})
JobId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$", max_length=100)]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00]+$")]
Names = Annotated[list[_Name] | None, Query(max_length=100)]
Position = Annotated[int, Query(ge=0, le=2**53)]
LastPosition = Annotated[int | None, Query(ge=0, le=2**53)]


@router.post("/jobs", dependencies=[ADMIN], status_code=202)
async def start(job: NewJob, request: Request, doors: DoorsHere) -> Response:
    """Start work on the whole log, or join the same work that is under way; follow it by its id."""
    if (job.kind == "backup") != (job.directory is not None):
        raise Refused("a backup has a directory, nothing else does", field="directory")
    started = await doors.journal.start(job.kind, job.parameters(), request.state.principal.name)
    return doors.envelopes.around_bytes(started, status=202)


@router.get("/jobs", dependencies=[ADMIN])
async def jobs(doors: DoorsHere) -> Response:
    """Return the latest jobs, newest first."""
    return doors.envelopes.around_bytes(b'{"items":' + await doors.journal.jobs() + b"}")


@router.get("/jobs/{job_id}", dependencies=[ADMIN])
async def job(job_id: JobId, doors: DoorsHere) -> Response:
    """Return one job: its state, how far it is, and once it is done its result."""
    return doors.envelopes.around_bytes(await doors.journal.job(job_id))


@router.post("/jobs/{job_id}/cancel", dependencies=[ADMIN])
async def cancel(job_id: JobId, doors: DoorsHere) -> Response:
    """Ask a job to end; one that has ended stays as it is."""
    return doors.envelopes.around_bytes(await doors.journal.cancel(job_id))


@router.post("/verify", dependencies=[ADMIN])
async def verify(request: Request, doors: DoorsHere) -> Response:
    """Walk the whole log: 200 with the report, or 202 with the job when it takes longer."""
    begun = orjson.loads(await doors.journal.start("verify", {}, request.state.principal.name))
    ended = await _ended(doors, begun)
    if ended["state"] == "done":
        return doors.envelopes.around(ended["result"])
    return doors.envelopes.around(ended, status=202)


@router.get(
    "/export",
    dependencies=[ADMIN],
    response_class=Response,
    responses={200: {"content": {LINES: {}}}},
)
async def export(
    doors: DoorsHere,
    after: Position = 0,
    through: LastPosition = None,
    type: Names = None,  # noqa: A002 (what it is called in the query)
    stream: Names = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
) -> Response:
    """Return a page of events, a line of JSON each; the next one is behind `qm-through`.

    The export is at its end when `qm-through` is `qm-head`. A stream is a name, or a family such
    as `node/`; `since` is included, `until` is not.
    """
    question = {
        "after": after,
        "through": through,
        "types": type,
        "streams": stream,
        "since": since,
        "until": until,
    }
    headers, lines = await doors.journal.export(question)
    told = {f"qm-{name}": str(headers[name]) for name in ("through", "head", "events")}
    return Response(lines, headers=told, media_type=LINES)


async def _ended(doors: Doors, begun: dict[str, Any]) -> dict[str, Any]:
    """Return a job once it is at its end, or as it is after a while."""
    found = begun
    for _ in range(int(WAIT_S / LOOK_S)):
        if found["state"] in ENDED:
            return found
        await asyncio.sleep(LOOK_S)
        found = orjson.loads(await doors.journal.job(begun["job_id"]))
    return found

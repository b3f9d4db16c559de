"""/instances/{id}/logs: what a worker writes, as its node's agent has it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import structlog
from fastapi import APIRouter, Query, Request, Response
from starlette.responses import PlainTextResponse, StreamingResponse

from contracts.roles import Permission
from contracts.types import InstanceId
from services.chassis.connections import abort
from services.chassis.errors import NotFound, Unavailable
from services.gateway.routes.access import OPERATE
from services.gateway.routes.doors import Doors, DoorsHere
from services.gateway.routes.streams import (
    ASK_AGAIN_S,
    LiveHere,
    Place,
    Streams,
    opened,
    still_allowed,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.types import Receive, Scope, Send

log = structlog.get_logger(__name__)
router = APIRouter(tags=["fleet"])

TEXT = "text/plain"
MOST_LINES = 10_000
REFUSED = b"\n[the log ends here: you may not read it any more]\n"
# Lines are sent as they come: nothing on the way may gather or keep them.
AS_THEY_COME = {
    "cache-control": "no-store",
    "content-encoding": "identity",
    "x-accel-buffering": "no",
}


# What people ask a model may stand in its worker's log, so it is not for everybody who may look.
@router.get(
    "/instances/{instance_id}/logs",
    dependencies=[OPERATE],
    response_class=PlainTextResponse,
    responses={200: {"content": {TEXT: {"schema": {"type": "string"}}}}},
)
async def logs(
    instance_id: InstanceId,
    request: Request,
    doors: DoorsHere,
    live: LiveHere,
    tail: Annotated[int, Query(ge=0, le=MOST_LINES)] = 100,
    *,
    follow: bool = False,
) -> Response:
    """Return the last `tail` lines as plain text; `follow` goes on until the worker ends."""
    instance = await _row(doors, f"/instances/{instance_id}")
    place: Place | None = None
    try:
        node = await _row(doors, f"/nodes/{_node_of(instance)}")
        place = opened(request, live.streams) if follow else None
        chunks = await doors.workers.logs(node["agent_url"], instance_id, tail, follow=follow)
    except BaseException as error:
        if place:
            place.give_back()
        kept = instance.get("log_tail")
        if not isinstance(error, NotFound | Unavailable) or not kept:
            raise
        # Its agent has forgotten it, or is gone with its node: what its death was recorded with.
        return PlainTextResponse(kept, headers={"cache-control": "no-store"})
    allowed = still_allowed(request, Permission.OPERATE)
    return Followed(while_allowed(chunks, allowed), place, live.streams)


def _node_of(instance: dict[str, Any]) -> str:
    if not instance.get("node_id"):
        raise NotFound(f"{instance['instance_id']} was on no node")
    return str(instance["node_id"])


async def _row(doors: Doors, path: str) -> dict[str, Any]:
    row: dict[str, Any] = orjson.loads((await doors.reads.get(path, [], None)).body)
    return row


class Followed(StreamingResponse):
    """Lines until the worker or the client ends, or the client takes nothing for too long."""

    def __init__(self, chunks: AsyncIterator[bytes], place: Place | None, streams: Streams) -> None:
        super().__init__(self._told(chunks), media_type=TEXT, headers=AS_THEY_COME)
        self._chunks, self._place, self._streams = chunks, place, streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write until either side ends it."""

        async def patient(message: Any) -> None:
            async with asyncio.timeout(self._streams.limits.patience_s):
                await send(message)

        try:
            await super().__call__(scope, receive, patient)
        except TimeoutError:
            if self._place:
                self._streams.let_go(self._place.caller, "took nothing for too long")
            abort(scope)
        finally:
            if self._place:
                self._place.give_back()

    async def _told(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for chunk in chunks:
                yield chunk
        except Unavailable as error:  # too late for a status
            log.info("a worker's log ends", because=error.detail)
            yield f"\n[the log ends here: {error.detail}]\n".encode()


async def while_allowed(
    chunks: AsyncIterator[bytes], allowed: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    """Yield chunks until they end or `allowed` says no: it is asked though nothing comes."""
    loop = asyncio.get_running_loop()
    ask_at, coming = loop.time() + ASK_AGAIN_S, asyncio.create_task(_next(chunks))
    try:
        while True:
            await asyncio.wait({coming}, timeout=ask_at - loop.time())
            if loop.time() >= ask_at:
                ask_at = loop.time() + ASK_AGAIN_S
                if not await allowed():
                    yield REFUSED
                    return
            if coming.done():
                if (chunk := coming.result()) is None:
                    return
                yield chunk
                coming = asyncio.create_task(_next(chunks))
    finally:
        coming.cancel()
        await asyncio.wait({coming})


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    return await anext(chunks, None)

"""A page that takes long begins at once: its frame is painted while the gateway is still asked."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING, Any

from fastapi.routing import APIRoute
from starlette.responses import RedirectResponse, StreamingResponse

from services.console.decide.places import section_of
from services.console.decide.when import When
from services.console.routes.sessions import COOKIE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from starlette.requests import Request
    from starlette.responses import Response

    from services.console.routes.visiting import House

PATIENCE_S = 0.1  # what is ready by then is one answer, with the status that it has
_BODY = b"<body>"
_GZIP = 31  # zlib's window, with gzip's header


class Early(APIRoute):
    """A route whose answer may begin before it is known, in a browser that opens the page.

    What went wrong by then is shown all the same, but under status 200; so nothing of it is for
    programs, and a session that is to be renewed waits, since its cookie comes with the head.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers."""
        answer = super().get_route_handler()

        async def handler(request: Request) -> Response:
            frame = _frame(request)
            if frame is None:
                return await answer(request)
            coming = asyncio.ensure_future(answer(request))
            try:
                await asyncio.wait({coming}, timeout=PATIENCE_S)
            except asyncio.CancelledError:
                coming.cancel()
                raise
            if coming.done():
                return coming.result()
            headers = {"content-encoding": "gzip", "vary": "hx-request, accept-encoding"}
            return StreamingResponse(
                _sent(request, frame, coming), media_type="text/html", headers=headers
            )

        return handler


def _frame(request: Request) -> str | None:
    """Return the page without what is on it, None where it must not begin early."""
    if request.headers.get("sec-fetch-dest") != "document":
        return None
    house: House = request.app.state.house
    now = house.clock.now()
    session = house.sessions.open(request.cookies.get(COOKIE), now)
    if session is None or session.needs_renewal(now):
        return None
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return None
    path = request.url.path
    when = When.of(request.query_params)
    return house.pages.render(
        "early.html", title=house.project, when=when, session=session, here=path,
        section=section_of(path),
    )  # fmt: skip


async def _sent(
    request: Request, frame: str, coming: asyncio.Future[Response]
) -> AsyncIterator[bytes]:
    """Yield the frame, then the rest of the page, or what stands in its place."""
    packed = zlib.compressobj(5, zlib.DEFLATED, _GZIP)
    try:
        yield packed.compress(frame.encode()) + packed.flush(zlib.Z_SYNC_FLUSH)
        try:
            answer = await coming
        except Exception as error:  # noqa: BLE001 (what answers it is what always does)
            answer = await _answer_to(request, error)
        yield packed.compress(_rest(answer)) + packed.flush()
    finally:
        coming.cancel()


def _rest(answer: Response) -> bytes:
    """Return what comes after a page's head; of a redirect, the way there."""
    if isinstance(answer, RedirectResponse):
        target = answer.headers["location"].replace("&", "&amp;").replace('"', "%22")
        return f'<meta http-equiv="refresh" content="0;url={target}">'.encode()
    return bytes(answer.body).partition(_BODY)[2]


async def _answer_to(request: Request, error: Exception) -> Response:
    """Return what the application says to an error; raises it where it has no answer."""
    handlers = request.app.exception_handlers
    for kind in type(error).__mro__:
        if kind in handlers:
            said = handlers[kind](request, error)
            found: Response = await said if asyncio.iscoroutine(said) else said
            return found
    raise error

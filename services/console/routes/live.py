"""/live: that the log has grown, to pages that are open; on the events page also with what."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse

from services.chassis.errors import QuartermasterError
from services.console.decide.histories import event_rows
from services.console.routes.events import FAMILIES, TELEMETRY, known_names
from services.console.routes.visiting import Visit, VisitHere

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

router = APIRouter()
PACE_S = 1.0  # a page is drawn anew at most so often
SILENCE_S = 15.0
ROWS_AT_ONCE = 100
RETRY = "retry: 2000\n\n"


@router.get("/live")
async def live(
    visit: VisitHere,
    request: Request,
    family: str = "",
    rows: str = "",
    telemetry: str = "",
    after: str = "",
) -> StreamingResponse:
    """Say that something was recorded, at most every second, for as long as the page is open.

    after: the position up to which the page has rows; without it only what comes from now on.
    """
    begin = _position(request.headers.get("last-event-id", "")) or _position(after)
    chosen = f"{family}." if family in FAMILIES else ""
    news = News(visit, chosen, with_telemetry=telemetry == "on", with_rows=rows == "on")
    answer = StreamingResponse(news.stream(begin), media_type="text/event-stream")
    answer.headers["x-accel-buffering"] = "no"
    return answer


def _position(said: str) -> int | None:
    return int(said) if said.isdecimal() and len(said) < 16 else None  # noqa: PLR2004


class News:
    """What was recorded since the last word, kept short: readers are told the newest of it."""

    def __init__(self, visit: Visit, family: str, *, with_telemetry: bool, with_rows: bool) -> None:
        self._visit, self._family = visit, family
        self._with_telemetry, self._with_rows = with_telemetry, with_rows
        self._rows: deque[dict[str, Any]] = deque(maxlen=ROWS_AT_ONCE)
        self._position = 0
        self._moved = asyncio.Event()
        self._ended = ""
        self._names: dict[str, str] = {}

    async def stream(self, after: int | None) -> AsyncIterator[str]:
        """Yield Server-Sent Events until the reader goes, or the gateway ends it."""
        clock = self._visit.house.clock
        yield RETRY
        if self._with_rows:
            self._names = await known_names(self._visit)
        following = asyncio.create_task(self._follow(after))
        try:
            await clock.sleep(PACE_S)  # the page is new: let the browser paint it first
            while not self._ended:
                if not await self._waited():
                    yield ": still here\n\n"
                    continue
                yield self._told()
                await clock.sleep(PACE_S)
            yield f"event: {self._ended}\ndata: {{}}\n\n"
        finally:
            following.cancel()

    async def _waited(self) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(SILENCE_S):
                await self._moved.wait()
        return self._moved.is_set()

    def _told(self) -> str:
        self._moved.clear()
        text = f'id: {self._position}\nevent: moved\ndata: {{"position":{self._position}}}\n\n'
        if self._position == 0:
            text = ""
        if self._rows:
            now = self._visit.house.clock.now()
            new = event_rows(reversed(self._rows), self._names, now)
            self._rows.clear()
            html = self._visit.house.pages.render(
                "event_rows.html", rows=new, when=self._visit.when
            )
            text += "".join(f"data: {line}\n" for line in html.splitlines() if line.strip()) + "\n"
        return text

    async def _follow(self, after: int | None) -> None:
        """Take what the gateway says; whatever ends it, the page is told."""
        visit = self._visit
        try:
            async with visit.house.gateway.live(visit.caller, after, ()) as told:
                if not hasattr(told, "__aiter__"):
                    self._ended = "expired" if told.status == 401 else ""  # noqa: PLR2004
                    return
                async for each in told:
                    self._take(each)
        except QuartermasterError:
            return
        finally:
            self._ended = self._ended or "lost"
            self._moved.set()

    def _take(self, told: Any) -> None:
        if told.event is None:
            return
        type_ = str(told.event["type"])
        self._position = told.position
        if (
            self._with_rows
            and type_.startswith(self._family)
            and (self._with_telemetry or type_ not in TELEMETRY)
        ):
            self._rows.append(told.event)
        self._moved.set()

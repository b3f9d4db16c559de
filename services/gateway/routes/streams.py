"""Connections kept open: so many for all and for each caller, and none that takes nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Protocol

import structlog
from fastapi import Depends
from opentelemetry import metrics
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import Response

from contracts.roles import Permission
from services.chassis.connections import abort
from services.chassis.errors import QuartermasterError, Unavailable
from services.gateway.decide.following import Chunk, EndedError, FellBehindError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.types import Receive, Scope, Send

    from services.gateway.decide.pacing import Limits
    from services.gateway.decide.principals import Principal
    from services.gateway.decide.wanted import Wanted
    from services.gateway.routes.limits import Paces
    from services.gateway.routes.websocket import Watcher

log = structlog.get_logger(__name__)

EVENTS = "text/event-stream"
TOO_MANY, RETRY_S = 429, 5
ASK_AGAIN_S = 60.0
CUT_S = 1.0
_LET_GO = metrics.get_meter("quartermaster.gateway").create_counter(
    "quartermaster.gateway.streams_let_go",
    description="Open connections ended because their reader was too slow",
)


class Feed(Protocol):
    """The log as it grows."""

    @property
    def position(self) -> int:
        """The newest position that can be read."""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come."""

    async def run(self) -> None:
        """Follow for ever."""

    def end(self) -> None:
        """Let every reader end."""

    async def started(self) -> None:
        """Return once the log's end is known; raises Unavailable after a while."""

    async def reach(self, after: int) -> None:
        """Return once `after` is behind us; raises Conflict where the log does not have it."""

    def read(self, wanted: Wanted, after: int) -> AsyncIterator[Chunk]:
        """Yield what is wanted behind `after`, for ever; raises FellBehindError, EndedError."""


class Board(Protocol):
    """GPU states as they are now."""

    @property
    def change(self) -> int:
        """The number of the latest change."""

    @property
    def position(self) -> int:
        """The position it holds for."""

    async def run(self) -> None:
        """Keep the board as long as anybody watches, until the feed ends."""

    def watch(self) -> None:
        """Somebody watches from now on."""

    def leave(self) -> None:
        """Somebody watches no longer."""

    async def ready(self) -> None:
        """Return once it shows how things are; raises Unavailable after a while."""

    async def news(self, change: int, timeout_s: float) -> None:
        """Return once there is a later change than this one, or after a while."""

    def since(self, change: int) -> bytes:
        """Return what changed since then as a message; since 0, every GPU there is."""


@dataclass
class Streams:
    """What is open now, whose it is, and what has been."""

    limits: Limits
    by_caller: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def active(self) -> int:
        """How many are open."""
        return self.by_caller.total()

    def let_go(self, caller: str, because: str) -> None:
        """Count and tell of one whose reader was too slow."""
        self.counts["let_go"] += 1
        _LET_GO.add(1, {"because": because})
        log.info("slow reader let go", caller=caller, because=because)


@dataclass(frozen=True)
class Live:
    """What routes need of what is going on now."""

    feed: Feed
    board: Board
    streams: Streams
    paces: Paces
    watchers: dict[int, Watcher] = field(default_factory=dict)


async def _live(connection: HTTPConnection) -> Live:
    live: Live = connection.app.state.live
    return live


LiveHere = Annotated[Live, Depends(_live)]


@dataclass
class Place:
    """One open connection's place among them; given back once."""

    streams: Streams
    caller: str
    is_open: bool = True

    def give_back(self) -> None:
        """Make room for another."""
        if self.is_open:
            self.is_open = False
            self.streams.by_caller[self.caller] -= 1
            self.streams.by_caller += Counter()  # forget who has none


def caller_of(principal: Principal | None, address: str = "") -> str:
    """Return under which name somebody's requests are counted."""
    if principal is None:
        return f"address {address}"
    return f"{principal.kind} {principal.id or principal.name}"


def opened(request: HTTPConnection, streams: Streams) -> Place:
    """Return a place for one more; 429, naming the limit, when there is none."""
    caller = caller_of(getattr(request.state, "principal", None))
    limits = streams.limits
    if streams.by_caller[caller] >= limits.streams_per_caller:
        _refuse(f"streams_per_caller: {limits.streams_per_caller} are open for you")
    if streams.active >= limits.streams:
        _refuse(f"streams: {limits.streams} are open here")
    streams.by_caller[caller] += 1
    streams.counts["opened"] += 1
    return Place(streams, caller)


def still_allowed(
    request: HTTPConnection, permission: Permission = Permission.READ
) -> Callable[[], Awaitable[bool]]:
    """Return what tells whether who opened this still may; yes while it cannot be told."""

    async def allowed() -> bool:
        try:
            found = await request.app.state.authenticator.principal(request.headers)
        except Unavailable:
            return True
        return found is not None and found.may(permission)

    return allowed


class EventStream(Response):
    """Chunks of events until the client goes, or is too slow, or may not read any more."""

    media_type = EVENTS

    def __init__(
        self,
        chunks: AsyncIterator[Chunk],
        begin: int,
        place: Place,
        streams: Streams,
        allowed: Callable[[], Awaitable[bool]],
    ) -> None:
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._chunks, self._begin, self._place = chunks, begin, place
        self._streams, self._allowed = streams, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write until either side ends it."""
        writing = asyncio.create_task(self._write(send))
        leaving = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({writing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                await writing
        except TimeoutError:
            self._streams.let_go(self._place.caller, "took nothing for too long")
            abort(scope)
            await asyncio.wait({leaving}, timeout=CUT_S)
        finally:
            self._place.give_back()
            writing.cancel()
            leaving.cancel()
            await asyncio.wait({writing, leaving})

    async def _write(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await self._say(send, start)
        # Whoever is cut off before the first event comes back to this very place.
        await self._tell(send, b"retry: 2000\nid: %d\n: here we go\n\n" % self._begin)
        with suppress(EndedError):
            await self._write_chunks(send)
        await self._say(send, {"type": "http.response.body", "body": b"", "more_body": False})

    async def _write_chunks(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        try:
            async for chunk in self._chunks:
                await self._tell(send, chunk.sse or b": still here\nid: %d\n\n" % chunk.through)
                if loop.time() - asked_at > ASK_AGAIN_S:
                    asked_at = loop.time()
                    if not await self._allowed():
                        await self._tell(send, b": you may not read any more\n\n")
                        return
        except FellBehindError:
            self._streams.let_go(self._place.caller, "fell behind what is kept")
            await self._tell(send, b": too slow; come again with the last id you have seen\n\n")
        except QuartermasterError as error:
            log.info("a stream ends", because=error.detail)
            await self._tell(send, b": come again later\n\n")

    async def _tell(self, send: Send, body: bytes) -> None:
        await self._say(send, {"type": "http.response.body", "body": body, "more_body": True})

    async def _say(self, send: Send, message: dict[str, object]) -> None:
        """Send; raises TimeoutError when what was sent before is not taken."""
        async with asyncio.timeout(self._streams.limits.patience_s):
            await send(message)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _refuse(detail: str) -> None:
    raise HTTPException(TOO_MANY, detail, {"retry-after": str(RETRY_S)})

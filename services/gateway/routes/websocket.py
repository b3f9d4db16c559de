"""/api/gpu/ws: GPU states as they change, for clients of the multi-provider scheduler; and counts.

A program shows its token as every request does; a browser, which can set no header, offers the
protocols `bearer` and the token. A token never stands in the address.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
from fastapi import APIRouter, Response, WebSocket
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocketDisconnect

from services.chassis.connections import abort
from services.chassis.errors import Unavailable
from services.chassis.problems import encode
from services.gateway.decide.pacing import Pace, admit
from services.gateway.routes.access import READ, offered
from services.gateway.routes.answers import JSON
from services.gateway.routes.doors import DoorsHere
from services.gateway.routes.streams import (
    ASK_AGAIN_S,
    Board,
    Live,
    LiveHere,
    Place,
    opened,
    still_allowed,
)

router = APIRouter(prefix="/api/gpu", tags=["live GPU states"])

SAYINGS = Pace(per_s=5, burst=20)
FORBIDDEN, POLICY, GOING, LATER = 403, 1008, 1001, 1013


@dataclass
class Watcher:
    """One client and what it was told; one thing is said at a time."""

    socket: WebSocket
    live: Live
    place: Place
    since: datetime
    sent: int = 0
    received: int = 0
    change: int = 0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def say(self, message: bytes) -> None:
        """Send text; raises TimeoutError when what was sent before is not taken."""
        async with self._turn, asyncio.timeout(self.live.streams.limits.patience_s):
            await self.socket.send_text(message.decode())
        self.sent += 1

    async def tell(self) -> None:
        """Tell what changed since this client was last told."""
        board = self.live.board
        change, message = board.change, board.since(self.change)
        await self.say(message)
        self.change = change


@router.websocket("/ws", dependencies=[READ])
async def watch(socket: WebSocket, doors: DoorsHere, live: LiveHere) -> None:
    """Send a `gpu_snapshot`, then a `gpu_update` whenever something changed, else a `heartbeat`.

    `{"type": "ping"}` is answered by a `pong`, `{"type": "snapshot"}` by a snapshot.
    """
    _check_origin(socket)
    place = opened(socket, live.streams)
    live.board.watch()
    live.streams.counts["watchers"] += 1
    watcher = Watcher(socket, live, place, doors.envelopes.now())
    live.watchers[id(watcher)] = watcher
    try:
        await socket.accept(subprotocol="bearer" if offered(socket.headers) else None)
        await _converse(watcher)
    finally:
        live.board.leave()
        place.give_back()
        del live.watchers[id(watcher)]


@router.get("/websocket/stats", dependencies=[READ])
async def stats(doors: DoorsHere, live: LiveHere) -> Response:
    """Return how many watch GPU states and events here, and how many were too slow for it."""
    streams, watchers = live.streams, list(live.watchers.values())
    told = {
        "active_connections": len(watchers),
        "total_connections": streams.counts["watchers"],
        "open_streams": streams.active,
        "max_streams": streams.limits.streams,
        "max_streams_per_caller": streams.limits.streams_per_caller,
        "slow_readers_let_go": streams.counts["let_go"],
        "messages_sent": sum(each.sent for each in watchers),
        "messages_received": sum(each.received for each in watchers),
        "position": live.feed.position,
        "timestamp": doors.envelopes.now(),
        "connections": [
            {
                "caller": each.place.caller,
                "connected_at": each.since,
                "messages_sent": each.sent,
                "messages_received": each.received,
            }
            for each in watchers
        ],
    }
    return Response(encode(told), media_type=JSON)


async def _converse(watcher: Watcher) -> None:
    """Speak and listen until either side ends it."""
    tasks = {asyncio.create_task(each) for each in (_speak(watcher), _listen(watcher))}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        code = max([await each for each in done])
        if code:
            await _hang_up(watcher, code)
    except TimeoutError:
        watcher.live.streams.let_go(watcher.place.caller, "took nothing for too long")
        abort(watcher.socket.scope)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _hang_up(watcher: Watcher, code: int) -> None:
    with suppress(WebSocketDisconnect, RuntimeError):  # it has gone already
        async with asyncio.timeout(watcher.live.streams.limits.patience_s):
            await watcher.socket.close(code)


async def _speak(watcher: Watcher) -> int:
    """Tell what changes; return the code to close with."""
    live, loop = watcher.live, asyncio.get_running_loop()
    allowed, asked_at = still_allowed(watcher.socket), loop.time()
    try:
        await live.board.ready()
        await watcher.tell()
        while not live.feed.has_ended:
            await live.board.news(watcher.change, live.streams.limits.heartbeat_s)
            if live.board.change > watcher.change:
                await watcher.tell()
            else:
                await watcher.say(_beat(live.board))
            if loop.time() - asked_at > ASK_AGAIN_S:
                asked_at = loop.time()
                if not await allowed():
                    return POLICY
    except Unavailable:
        return LATER
    except WebSocketDisconnect:
        return 0
    return GOING


async def _listen(watcher: Watcher) -> int:
    """Answer what the client says; return the code to close with, 0 when it has gone."""
    due, loop = 0.0, asyncio.get_running_loop()
    with suppress(WebSocketDisconnect):
        while True:
            said = await watcher.socket.receive()
            if said["type"] == "websocket.disconnect":
                return 0
            watcher.received += 1
            due, early_s = admit(due, loop.time(), SAYINGS)
            if early_s:
                return POLICY
            await _answer(watcher, said.get("text") or said.get("bytes") or b"")
    return 0


async def _answer(watcher: Watcher, said: str | bytes) -> None:
    match _kind(said):
        case "ping":
            await watcher.say(b'{"type":"pong"}')
        case "snapshot":
            watcher.change = 0
            await watcher.live.board.ready()
            await watcher.tell()
        case kind:
            detail = f"type: ping or snapshot, not {kind[:50]!r}"
            await watcher.say(orjson.dumps({"type": "error", "detail": detail}))


def _kind(said: str | bytes) -> str:
    try:
        content: Any = orjson.loads(said)
    except ValueError:
        content = said if isinstance(said, str) else ""
    return str(content.get("type", "")) if isinstance(content, dict) else str(content)


def _beat(board: Board) -> bytes:
    return orjson.dumps({"type": "heartbeat", "position": board.position})


def _check_origin(socket: WebSocket) -> None:
    """Refuse pages of other sites: unlike other requests a browser lets them connect."""
    origin = socket.headers.get("origin")
    if origin is None or origin in socket.app.state.origins:
        return
    if urlsplit(origin).netloc != socket.headers.get("host"):
        raise HTTPException(FORBIDDEN, "pages of this origin may not connect: see CORS_ORIGINS")

"""The gateway in this process behind a real socket, with its live feed; clients that read it."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import orjson

from services.chassis.http import serve
from tests.gateway_door import BEARER, Door, a_door
from tests.in_memory import ended, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from services.gateway.routes.streams import Live


@dataclass
class Served:
    """A door, where it listens, and what is live behind it."""

    door: Door
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def live(self) -> Live:
        live: Live = self.door.app.state.live
        return live


@dataclass
class Told:
    """One Server-Sent Event, or a comment with the id that came with it."""

    id: int | None = None
    event: str | None = None
    data: Any = None
    comments: list[str] = field(default_factory=list)


@dataclass
class Reader:
    """What a client has read so far; a task reads on."""

    response: httpx2.Response
    told: list[Told] = field(default_factory=list)
    has_ended: bool = False

    @property
    def events(self) -> list[Told]:
        return [each for each in self.told if each.data is not None]

    @property
    def ids(self) -> list[int | None]:
        return [each.id for each in self.events]

    @property
    def last_id(self) -> int | None:
        ids = [each.id for each in self.told if each.id is not None]
        return ids[-1] if ids else None

    async def until_events(self, count: int) -> list[Told]:
        await until(lambda: len(self.events) >= count, f"{count} events, {self.told}")
        return self.events

    async def read(self) -> None:
        current = Told()
        async for line in self.response.aiter_lines():
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not line:
                self.told.append(current)
                current = Told()
            elif name == "id":
                current.id = int(value)
            elif name == "event":
                current.event = value
            elif name == "data":
                current.data = orjson.loads(value)
            elif not name:
                current.comments.append(value)
        self.has_ended = True


def a_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@asynccontextmanager
async def a_served_door(**changes: Any) -> AsyncIterator[Served]:
    async with a_door(**changes) as door:
        served = Served(door, a_port())
        stop = asyncio.Event()
        serving = asyncio.create_task(
            serve(door.app, "127.0.0.1", served.port, stop, websockets=True)
        )
        works = [asyncio.create_task(each.run()) for each in (served.live.feed, served.live.board)]
        await until(lambda: _listens(served.port), "the gateway listens")
        try:
            yield served
        finally:
            served.live.feed.end()
            stop.set()
            async with asyncio.timeout(5):
                await serving
            for work in works:
                await ended(work)


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1):
            return True
    except OSError:
        return False


@asynccontextmanager
async def reading(served: Served, query: str = "", **headers: str) -> AsyncIterator[Reader]:
    """Read events as they come, as an EventSource does."""
    sent = {**BEARER, "accept": "text/event-stream", **headers}
    async with (
        httpx2.AsyncClient(base_url=served.url, headers=sent, timeout=10) as client,
        client.stream("GET", f"/api/v1/events{query}") as response,
    ):
        assert response.status_code == 200, (await response.aread()).decode()
        reader = Reader(response)
        task = asyncio.create_task(reader.read())
        await until(lambda: reader.told, "the first word")
        try:
            yield reader
        finally:
            task.cancel()
            await asyncio.wait({task})

"""A TCP proxy that spoils what goes through it: cut, slow, half-open, one way, lossy."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Literal

Direction = Literal["to_server", "to_client"]
# Given the direction, the bytes and the connection's number, a rule returns what is passed on, or
# None to swallow it; ConnectionAbortedError cuts the connection.
Rule = Callable[[Direction, bytes, int], Awaitable[bytes | None]]

CHUNK = 64 * 1024


async def faithful(direction: Direction, data: bytes, connection: int) -> bytes | None:
    """Pass everything on."""
    return data


def swallowing(*directions: Direction) -> Rule:
    """Swallow what goes some way: the connection stays open, and nothing comes."""

    async def rule(direction: Direction, data: bytes, connection: int) -> bytes | None:
        return None if direction in directions else data

    return rule


def slow(bytes_a_second: float) -> Rule:
    """Let so much through a second, either way, however many connections there are."""

    async def rule(direction: Direction, data: bytes, connection: int) -> bytes | None:
        await asyncio.sleep(len(data) / bytes_a_second)
        return data

    return rule


def cutting(share: float, seed: int = 1) -> Rule:
    """Cut the connection of this share of all questions, chosen by a seed."""
    dice = random.Random(seed)  # noqa: S311 (a seed replays it)

    async def rule(direction: Direction, data: bytes, connection: int) -> bytes | None:
        if direction == "to_server" and dice.random() < share:
            raise ConnectionAbortedError
        return data

    return rule


class Answerless:
    """Takes the first question that holds some words to the server, and cuts before its answer."""

    def __init__(self, words: bytes) -> None:
        self._words = words
        self.done = asyncio.Event()
        self._asked: set[int] = set()

    async def __call__(self, direction: Direction, data: bytes, connection: int) -> bytes | None:
        """Judge what goes through."""
        if direction == "to_server" and not self.done.is_set() and self._words in data:
            self._asked.add(connection)
        elif direction == "to_client" and connection in self._asked:
            self._asked.clear()
            self.done.set()
            raise ConnectionAbortedError
        return data


class FaultProxy:
    """Listens on a port of its own and connects to a server of this machine.

    room_bytes: what it takes from the server ahead of the client, about; the server feels a slow
    line only behind that.
    """

    def __init__(self, target_port: int, *, room_bytes: int = CHUNK) -> None:
        self._target_port, self._room_bytes = target_port, room_bytes
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self.rule: Rule = faithful
        self.is_up = True
        self.connections = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> FaultProxy:
        """Listen."""
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        return self

    async def close(self) -> None:
        """Listen no more."""
        assert self._server is not None
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Reset every connection there is."""
        for writer in list(self._writers):
            writer.transport.abort()

    def down(self) -> None:
        """Cut everything, and take nothing more until it is up."""
        self.is_up = False
        self.cut()

    def up(self) -> None:
        """Pass everything on again; connections that were spoiled are cut."""
        self.is_up, self.rule = True, faithful
        self.cut()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.is_up:
            writer.transport.abort()
            return
        self.connections += 1
        number = self.connections
        try:
            up_reader, up_writer = await self._to_server()
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, up_writer}
        self._writers |= ends
        pumps = [
            asyncio.create_task(self._pump("to_server", reader, up_writer, number)),
            asyncio.create_task(self._pump("to_client", up_reader, writer, number)),
        ]
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        for pump in pumps:
            pump.cancel()
        for end in ends:
            end.transport.abort()
        self._writers -= ends

    async def _to_server(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        made = socket.socket()
        made.setblocking(False)
        if self._room_bytes != CHUNK:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._room_bytes)
        await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", self._target_port))
        return await asyncio.open_connection(sock=made, limit=self._room_bytes)

    async def _pump(
        self,
        direction: Direction,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: int,
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                passed = await self.rule(direction, data, connection)
                if passed is not None:
                    writer.write(passed)
                    await writer.drain()
            await writer.drain()

"""A Management API over real HTTP: queues with lengths, wrong passwords, and nonsense."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from typing import Self


@dataclass
class FakeManagement:
    """Answers `GET /api/queues/{vhost}/{queue}`; `answers` may hold a status and a raw body."""

    password: str = "right"
    queues: dict[str, dict] = field(default_factory=dict)
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    slow: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    open_now: int = 0
    most_open: int = 0
    port: int = 0

    def hold(self, path: str, ready: int, unacknowledged: int = 0, **more) -> None:
        self.queues[path] = {
            "name": path,
            "messages": ready + unacknowledged,
            "messages_ready": ready,
            "messages_unacknowledged": unacknowledged,
            "consumers": 1,
            **more,
        }

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        self._server.close()
        for writer in list(self._writers):
            writer.close()

    _writers: set = field(default_factory=set)

    async def _serve(self, reader, writer) -> None:
        self._writers.add(writer)
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                status, body = await self._answer(head.decode())
                writer.write(b"HTTP/1.1 %d X\r\ncontent-length: %d\r\n\r\n" % (status, len(body)))
                writer.write(body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            self.open_now -= 1
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, head: str) -> tuple[int, bytes]:
        path = head.split()[1].removeprefix("/api/queues/")
        self.asked.append(path)
        if path in self.slow:
            await asyncio.sleep(3600)
        if path in self.answers:
            return self.answers[path]
        token = head.lower().partition("authorization: basic ")[2].split()[0]
        wanted = base64.b64encode(f"sampler:{self.password}".encode()).decode().lower()
        if token != wanted:
            return 401, b'{"error":"not_authorised"}'
        if path not in self.queues:
            return 404, b'{"error":"Object Not Found"}'
        return 200, json.dumps(self.queues[path]).encode()

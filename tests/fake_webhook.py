"""Whoever is told of alerts: takes messages over real HTTP, and answers as it is told to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Self


@dataclass
class FakeWebhook:
    """Keeps (headers, body) of all it was sent; answers `statuses` in turn, then 204."""

    statuses: list[int] = field(default_factory=list)
    received: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    silent: bool = False
    scheme: str = "http"
    host: str = "127.0.0.1"
    port: int = 0
    context: object = None

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}/hook?a=b"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(
            self._serve, "127.0.0.1", self.port, ssl=self.context
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader, writer) -> None:
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value.strip()
                for name, _, value in (line.partition(":") for line in lines[1:] if line)
            }
            headers["path"] = lines[0].split()[1]
            body = await reader.readexactly(int(headers["content-length"]))
            self.received.append((headers, body))
            if self.silent:
                await reader.read()
            status = self.statuses.pop(0) if self.statuses else 204
            location = b"location: http://127.0.0.1:1/\r\n" if 300 <= status < 400 else b""
            writer.write(b"HTTP/1.1 %d X\r\n%scontent-length: 0\r\n\r\n" % (status, location))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

"""A process's own word on how it is: parts that are well or not, served as JSON."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter

REQUEST_TIMEOUT_S = 2.0
LINE_LIMIT = 4096


@dataclass
class Health:
    """What each part of the process last said of itself."""

    service: str
    parts: dict[str, tuple[bool, str]] = field(default_factory=dict)

    def report(self, part: str, ok: bool, detail: str = "") -> None:
        """Take a part's word; a part that never spoke is not asked."""
        self.parts[part] = (ok, detail)

    @property
    def ok(self) -> bool:
        """Whether every part is well."""
        return all(ok for ok, _ in self.parts.values())

    def as_json(self) -> bytes:
        """Return `{service, status, parts: {name: {ok, detail}}}`."""
        parts = {name: {"ok": ok, "detail": detail} for name, (ok, detail) in self.parts.items()}
        status = "ok" if self.ok else "unhealthy"
        return orjson.dumps({"service": self.service, "status": status, "parts": parts})


async def serve_health(health: Health, port: int) -> asyncio.Server:
    """Answer any request on 127.0.0.1:`port` with 200 or 503 and the health as JSON."""

    async def answer(reader: StreamReader, writer: StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await reader.readuntil(b"\r\n\r\n")
                body = health.as_json()
                status = b"200 OK" if health.ok else b"503 Service Unavailable"
                head = b"HTTP/1.1 %s\r\ncontent-type: application/json\r\n" % status
                writer.write(head + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body))
                writer.write(body)
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, ValueError):
            return
        finally:
            writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", port, limit=LINE_LIMIT)

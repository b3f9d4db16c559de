"""Clients that cost next to nothing, so that what is measured is the other side."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

LOOPBACK = "127.0.0.1"
_RECORDED = re.compile(rb'"recorded_at":"([^"]+)"')


@dataclass
class Caller:
    """One kept connection that asks one thing after the other."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    token: str

    async def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Return the status, headers and body of an answer."""
        content = b"" if body is None else json.dumps(body).encode()
        told = {"host": LOOPBACK, "authorization": f"Bearer {self.token}", **(headers or {})}
        if content:
            told |= {"content-type": "application/json", "content-length": str(len(content))}
        lines = "".join(f"{name}: {value}\r\n" for name, value in told.items())
        self.writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + content)
        first, *rest = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        pairs = (line.partition(": ") for line in rest if line)
        answered = {name.lower(): value for name, _, value in pairs}
        length = int(answered.get("content-length", "0"))
        return int(first.split()[1]), answered, await self.reader.readexactly(length)

    async def make(self, path: str, body: Any) -> str:
        """Make something and return its id."""
        status, _, answer = await self.ask("POST", f"/api/v1{path}", body)
        if status != 201:  # noqa: PLR2004
            raise RuntimeError(f"{path}: {answer.decode()}")
        return str(json.loads(answer)["data"]["id"])

    def close(self) -> None:
        """Close the connection."""
        self.writer.close()


async def opened(port: int, token: str) -> Caller:
    """Return a connection."""
    return Caller(*await asyncio.open_connection(LOOPBACK, port, limit=4 * 1024 * 1024), token)


@dataclass
class Watching:
    """One reader of the event stream; measures: notes how late each event came."""

    port: int
    token: str
    events: int = 0
    is_open: bool = False
    measures: bool = False
    lags_s: list[float] = field(default_factory=list)

    async def run(self) -> None:
        """Read for ever."""
        caller = await opened(self.port, self.token)
        request = (
            f"GET /api/v1/events?type=node.heartbeat HTTP/1.1\r\nhost: {LOOPBACK}\r\n"
            f"accept: text/event-stream\r\nauthorization: Bearer {self.token}\r\n\r\n"
        )
        caller.writer.write(request.encode())
        try:
            while more := await caller.reader.readuntil(b"\n\n"):
                self.is_open = True
                if b"\nevent: " in more:
                    self._take(more)
        finally:
            caller.close()

    def _take(self, told: bytes) -> None:
        self.events += 1
        found = _RECORDED.search(told) if self.measures else None
        if found is not None:
            recorded = datetime.fromisoformat(found[1].decode())
            self.lags_s.append((datetime.now(UTC) - recorded).total_seconds())

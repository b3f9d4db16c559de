"""The first look at a request's body: bounded in bytes, time and depth, and JSON or refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import orjson
from starlette.datastructures import Headers

from services.chassis.problems import Problem, Render, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BODY_BYTES = 1024 * 1024
BODY_S = 15.0
MAX_DEPTH = 32
_MAX_NUMBER = 2**63


class _TooLongError(Exception):
    """The body is longer than anybody has reason to send."""


class Bodies:
    """Reads the whole body before the application starts, and answers what cannot be read.

    more_types: what else a body may be, by path.
    413 too long, 408 too slow, 415 not JSON by its own words, 422 not JSON or not text.
    """

    def __init__(
        self,
        app: ASGIApp,
        render: Render,
        *,
        max_bytes: int = MAX_BODY_BYTES,
        patience_s: float = BODY_S,
        media_types: tuple[str, ...] = ("application/json",),
        more_types: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._app, self._render = app, render
        self._max_bytes, self._patience_s = max_bytes, patience_s
        self._media_types, self._more_types = media_types, more_types or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a readable request on, answer any other."""
        if scope["type"] != "http" or not _has_body(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        body, problem = await self._read(scope, receive)
        if problem is not None:
            await self._render(scope["path"], problem)(scope, receive, send)
            return
        await self._app(scope, _Again(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> tuple[bytes, Problem | None]:
        path = scope["path"]
        try:
            async with asyncio.timeout(self._patience_s):
                body = await self._gather(Headers(scope=scope), receive)
        except _TooLongError:
            detail = f"a body has at most {self._max_bytes} bytes"
            return b"", refusal(path, 413, "too_long", detail)
        except TimeoutError:
            return b"", refusal(path, 408, "too_slow", "the body did not arrive in time")
        return body, self._judge(path, Headers(scope=scope), body)

    async def _gather(self, headers: Headers, receive: Receive) -> bytes:
        said = headers.get("content-length", "0")
        if said.isdecimal() and int(said[:19]) > self._max_bytes:
            raise _TooLongError
        body = bytearray()
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                raise _TooLongError
            if message["type"] != "http.request" or not message.get("more_body", False):
                return bytes(body)

    def _judge(self, path: str, headers: Headers, body: bytes) -> Problem | None:
        if not body:
            return None
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        allowed = (*self._media_types, *self._more_types.get(path, ()))
        if media_type not in allowed:
            wanted = " or ".join(allowed)
            return refusal(path, 415, "unsupported_media_type", f"send {wanted}")
        if media_type != "application/json":
            return None
        try:
            content = orjson.loads(body)
        except ValueError as error:
            errors = [{"field": "body", "message": str(error)}]
            return refusal(path, 422, "invalid", "the body is not JSON", errors)
        errors = list(_unfit(content))[:50]
        return refusal(path, 422, "invalid", "the body is not valid", errors) if errors else None


class _Again:
    """Gives the application a body that was already read, then what the connection says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


def _unfit(content: Any) -> Iterator[dict[str, str]]:
    """Yield what a database or another reader of JSON would stumble over, with its place."""
    pending: list[tuple[tuple[str, ...], Any]] = [((), content)]
    while pending:
        place, value = pending.pop()
        complaint = _complaint(place, value)
        if complaint is not None:
            yield {"field": ".".join(place)[:200] or "body", "message": complaint}
        elif isinstance(value, dict):
            pending.extend(((*place, key.replace("\0", "?")), each) for key, each in value.items())
        elif isinstance(value, list):
            pending.extend(((*place, str(index)), each) for index, each in enumerate(value))


def _complaint(place: tuple[str, ...], value: Any) -> str | None:
    if len(place) > MAX_DEPTH:
        return f"nested deeper than {MAX_DEPTH}"
    if isinstance(value, str) and "\0" in value:
        return "text holds no NUL character"
    if isinstance(value, dict) and any("\0" in key for key in value):
        return "a name holds no NUL character"
    if isinstance(value, int | float) and abs(value) >= _MAX_NUMBER:
        return "a number is less than 2 to the 63rd"
    return None

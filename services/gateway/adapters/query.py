"""The query service, over HTTP: bytes in, the same bytes out, its refusals as our errors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

import orjson

from services.chassis import tracing
from services.chassis.errors import (
    Bug,
    Conflict,
    NotFound,
    QuartermasterError,
    Refused,
    Unavailable,
)
from services.chassis.sharing import Shared
from services.gateway.adapters.client import Client

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.gateway.adapters.client import Answered, Server

POSITION_HEADER, AS_OF_HEADER = b"qm-position", b"qm-as-of"
_NOT_MODIFIED, _BAD = 304, 400
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_CLASSES: dict[int, type[QuartermasterError]] = {
    400: Refused,
    404: NotFound,
    409: Conflict,
    422: Refused,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


@dataclass(frozen=True, slots=True)
class Read:
    """An answer of the query service; `body` is JSON, or empty for 304; so is `as_of`, or None."""

    status: int
    body: bytes
    etag: str | None
    position: int | None
    as_of: bytes | None = None


class QueryService:
    """Forwards reads."""

    def __init__(self, url: str, *, server: Server | None = None) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._server = server or Client(url)
        self._shared = Shared[Read]()

    async def get(self, path: str, parameters: Sequence[tuple[str, str]], etag: str | None) -> Read:
        """Return the answer to a read; raises NotFound, Refused, Conflict or Unavailable.

        Who asks the same at the same time is answered together: what is read does not depend on
        who asks.
        """
        target = _target(path, parameters)
        if etag and _CONTROL.search(etag):
            raise Refused("this is no ETag", field="If-None-Match")
        return await self._shared.read((target, etag), lambda: self._get(target, etag))

    async def _get(self, target: str, etag: str | None) -> Read:
        try:
            with tracing.calling("GET", self._host, self._port) as call:
                headers = {"if-none-match": etag, **call.headers} if etag else call.headers
                answered = await self._server.get(target, headers)
                call.status = answered.status
        except OSError as error:
            raise Unavailable(f"the query service does not answer: {error}") from error
        if answered.status >= _BAD:
            raise _error(answered)
        return _read(answered)

    async def close(self) -> None:
        """Close the connections."""
        await self._server.close()


def _target(path: str, parameters: Sequence[tuple[str, str]]) -> str:
    """Return path and query, escaped; what is escaped in the path already stays as it is."""
    escaped = quote(path, safe="/:@!$&'()*+,;=~%")
    return f"{escaped}?{urlencode(parameters)}" if parameters else escaped


def _read(answered: Answered) -> Read:
    headers = answered.headers
    found, etag = headers.get(POSITION_HEADER, b""), headers.get(b"etag")
    return Read(
        answered.status,
        b"" if answered.status == _NOT_MODIFIED else answered.body,
        etag.decode("latin-1") if etag else None,
        int(found) if found.isdigit() else None,
        headers.get(AS_OF_HEADER) or None,
    )


def _error(answered: Answered) -> QuartermasterError:
    try:
        problem: Any = orjson.loads(answered.body)
    except ValueError:
        problem = None
    said = problem if isinstance(problem, dict) else {}
    detail = str(said.get("detail") or "the query service refused")
    if answered.status not in _CLASSES:
        return Bug(f"the query service answered {answered.status}: {detail}")
    errors = said.get("errors")
    named = {"errors": errors} if isinstance(errors, list) and errors else {}
    return _CLASSES[answered.status](detail, **named)

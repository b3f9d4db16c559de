"""The query service, over HTTP: bytes in, the same bytes out, its refusals as our errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
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

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE_S = 15.0
CONNECT_S = 2.0
POSITION_HEADER, AS_OF_HEADER = "qm-position", "qm-as-of"
_NOT_MODIFIED, _BAD = 304, 400
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

    def __init__(self, url: str, *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._http = httpx2.AsyncClient(
            base_url=url,
            timeout=httpx2.Timeout(PATIENCE_S, connect=CONNECT_S),
            transport=transport,
            trust_env=False,
        )

    async def get(self, path: str, parameters: Sequence[tuple[str, str]], etag: str | None) -> Read:
        """Return the answer to a read; raises NotFound, Refused, Conflict or Unavailable."""
        headers = {"if-none-match": etag} if etag else {}
        base = self._http.base_url
        try:
            with tracing.calling("GET", base.host, base.port) as call:
                response = await self._http.get(
                    path, params=list(parameters), headers=headers | call.headers
                )
                call.status = response.status_code
        except (httpx2.HTTPError, OSError) as error:
            raise Unavailable(f"the query service does not answer: {error}") from error
        if response.status_code >= _BAD:
            raise _error(response)
        return _read(response)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _read(response: httpx2.Response) -> Read:
    headers = response.headers
    found, as_of = headers.get(POSITION_HEADER, ""), headers.get(AS_OF_HEADER)
    return Read(
        response.status_code,
        b"" if response.status_code == _NOT_MODIFIED else response.content,
        headers.get("etag"),
        int(found) if found.isdecimal() else None,
        as_of.encode() if as_of else None,
    )


def _error(response: httpx2.Response) -> QuartermasterError:
    try:
        problem: Any = orjson.loads(response.content)
    except ValueError:
        problem = None
    said = problem if isinstance(problem, dict) else {}
    detail = str(said.get("detail") or "the query service refused")
    if response.status_code not in _CLASSES:
        return Bug(f"the query service answered {response.status_code}: {detail}")
    errors = said.get("errors")
    named = {"errors": errors} if isinstance(errors, list) and errors else {}
    return _CLASSES[response.status_code](detail, **named)

"""What all reads have in common: their parameters, the port they read from, and their answers."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from contracts.types import EnvironmentId
from services.chassis.errors import NotFound
from services.query.routes.as_of import LAST_POSITION, AsOf, then_of
from services.query.routes.cursors import Cursor, cursor_of
from services.query.routes.log_tails import without_log_tails
from services.query.state import Found, Then

if TYPE_CHECKING:
    from datetime import datetime

    from starlette.requests import Request

Position = Annotated[int, Field(ge=0, le=LAST_POSITION)]
# The past does not change, but what its telemetry said is dropped one day, and another version of
# a read model may say it in other words: a day is long enough to look around in.
KEEP = "private, max-age=86400, immutable"
ASK_AGAIN = "no-cache"


class Waiting(BaseModel):
    """The parameters of every request; one that is not declared is refused, never ignored."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_position: Position = Field(
        default=0,
        description="Wait until the read models have folded this position. Beside an earlier "
        "`as_of` it is refused.",
    )


class Read(Waiting):
    """The parameters of every read."""

    as_of: AsOf | None = None
    log_tails: bool = Field(
        default=True,
        description="Whether to show the last lines of dead workers' logs. What people asked a "
        "model may stand in them: no, for whoever asks on behalf of somebody who may not read it.",
    )

    def shown(self, content: bytes) -> bytes:
        """Return what of this JSON is to be shown."""
        return content if self.log_tails else without_log_tails(content)


class Page(Read):
    """The parameters of every list."""

    cursor: Annotated[str, Field(max_length=1000)] | None = Field(
        default=None,
        description="`next_cursor` of the page before; it stays at that page's `as_of`.",
    )
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class PageOfEnvironment(Page):
    """The parameters of a list that an environment narrows down."""

    environment_id: EnvironmentId | None = None


class Reader(Protocol):
    """Where reads are answered from; `then`: as of a position of the past."""

    @property
    def samples_kept(self) -> int:
        """How many samples are kept of each queue."""

    async def then(self, as_of: int | datetime) -> Then:
        """Return the position meant, once it can be read; Refused in the future or before all."""

    async def page(
        self,
        name: str,
        limit: int,
        after: str | None,
        *args: Any,
        min_position: int,
        then: Then | None = None,
    ) -> Found:
        """Return a page of a named list; raises Unavailable when the position is not reached."""

    async def one(
        self, name: str, *args: Any, min_position: int, then: Then | None = None
    ) -> Found:
        """Return one thing by a named query, content None when there is none."""


async def a_page(
    request: Request, reader: Reader, name: str, page: Page, *args: Any, numbered: bool = False
) -> Response:
    """Answer with `{items, next_cursor, position}`; numbered: the list's order is by position."""
    before = cursor_of(page.cursor, numbered=numbered)
    then = await then_of(reader, page, before)
    after = before.key if before else None
    found = await reader.page(
        name, page.limit, after, *args, min_position=page.min_position, then=then
    )
    items = page.shown(found.content or b"[]")
    cursor = orjson.dumps(_next(found, then))
    rest = b',"as_of":%b}' % then.as_json() if then else b"}"
    body = b'{"items":%b,"next_cursor":%b,"position":%d%b' % (items, cursor, found.position, rest)
    return answer(request, body, found.position, items + cursor, then)


async def one_of(request: Request, reader: Reader, name: str, read: Read, *args: Any) -> Response:
    """Answer with one thing, or 404."""
    then = await then_of(reader, read)
    found = await reader.one(name, *args, min_position=read.min_position, then=then)
    if found.content is None:
        when = f" as of position {then.position}" if then else ""
        raise NotFound(f"there is no {name} {' '.join(map(str, args))}".rstrip() + when)
    content = read.shown(found.content)
    return answer(request, content, found.position, content, then)


def answer(
    request: Request, body: bytes, position: int, tagged: bytes, then: Then | None = None
) -> Response:
    """Return the body, or 304 to whoever has the same content, though of an earlier position."""
    headers = {"qm-position": str(position)}
    if then:
        told = then.as_json()
        tagged += told
        headers |= {"qm-as-of": told.decode(), "cache-control": KEEP if then.settled else ASK_AGAIN}
    digest = blake2b(tagged, digest_size=12).hexdigest()
    headers["etag"] = f'"{position}-{digest}"'
    if _has(request.headers.get("if-none-match", ""), digest):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def _has(if_none_match: str, digest: str) -> bool:
    tags = (tag.strip().removeprefix("W/").strip('"') for tag in if_none_match.split(","))
    return any(tag == "*" or tag.rpartition("-")[2] == digest for tag in tags)


def _next(found: Found, then: Then | None) -> str | None:
    if found.next_key is None:
        return None
    return str(Cursor(found.next_key, then.position if then else None))

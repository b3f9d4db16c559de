"""What all reads have in common: their parameters, the port they read from, and their answers."""

from __future__ import annotations

from base64 import b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import orjson
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from contracts.types import EnvironmentId
from services.chassis.errors import NotFound, Refused
from services.query.state import Found

if TYPE_CHECKING:
    from starlette.requests import Request

LAST_POSITION = 2**63 - 1
Position = Annotated[int, Field(ge=0, le=LAST_POSITION)]


class Read(BaseModel):
    """The parameters of every read; one that is not declared is refused, never ignored.

    A read of the past has its place here, beside `min_position`: both say which position to
    answer for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_position: Position = Field(
        default=0, description="Wait until the read models have folded this position."
    )


class Page(Read):
    """The parameters of every list."""

    cursor: Annotated[str, Field(max_length=1000)] | None = Field(
        default=None, description="`next_cursor` of the page before."
    )
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class PageOfEnvironment(Page):
    """The parameters of a list that an environment narrows down."""

    environment_id: EnvironmentId | None = None


class Reader(Protocol):
    """Where reads are answered from."""

    async def page(
        self, name: str, limit: int, after: str | None, *args: Any, min_position: int
    ) -> Found:
        """Return a page of a named list; raises Unavailable when the position is not reached."""

    async def one(self, name: str, *args: Any, min_position: int) -> Found:
        """Return one thing by a named query, content None when there is none."""


async def a_page(
    request: Request, reader: Reader, name: str, page: Page, *args: Any, numbered: bool = False
) -> Response:
    """Answer with `{items, next_cursor, position}`; numbered: the list's order is by position."""
    after = _key_of(page.cursor, numbered=numbered)
    found = await reader.page(name, page.limit, after, *args, min_position=page.min_position)
    items = found.content or b"[]"
    cursor = orjson.dumps(_cursor_of(found.next_key))
    body = b'{"items":%b,"next_cursor":%b,"position":%d}' % (items, cursor, found.position)
    return answer(request, body, found.position, items + cursor)


async def one_of(request: Request, reader: Reader, name: str, read: Read, *args: Any) -> Response:
    """Answer with one thing, or 404."""
    found = await reader.one(name, *args, min_position=read.min_position)
    if found.content is None:
        raise NotFound(f"there is no {name} {' '.join(map(str, args))}".rstrip())
    return answer(request, found.content, found.position, found.content)


def answer(request: Request, body: bytes, position: int, tagged: bytes) -> Response:
    """Return the body, or 304 to whoever has the same content, though of an earlier position."""
    digest = blake2b(tagged, digest_size=12).hexdigest()
    headers = {"etag": f'"{position}-{digest}"', "qm-position": str(position)}
    if _has(request.headers.get("if-none-match", ""), digest):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def _has(if_none_match: str, digest: str) -> bool:
    tags = (tag.strip().removeprefix("W/").strip('"') for tag in if_none_match.split(","))
    return any(tag == "*" or tag.rpartition("-")[2] == digest for tag in tags)


def _cursor_of(key: str | None) -> str | None:
    return None if key is None else urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _key_of(cursor: str | None, *, numbered: bool) -> str | None:
    if cursor is None:
        return None
    try:
        key = b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except (NotBase64, ValueError) as error:
        raise _bad_cursor() from error
    if "\0" in key or (numbered and not (key.isascii() and key.isdigit() and _fits(key))):
        raise _bad_cursor()
    return key


def _fits(digits: str) -> bool:
    return len(digits) < len(str(LAST_POSITION)) or int(digits[:30]) <= LAST_POSITION


def _bad_cursor() -> Refused:
    return Refused("not a cursor of this list: send next_cursor of an earlier page", field="cursor")

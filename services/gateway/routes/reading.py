"""Reads forwarded to the query service: its bytes in our envelope, its tags passed both ways."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

from contracts.roles import Permission
from services.chassis.errors import Refused
from services.gateway.routes import shapes
from services.gateway.routes.access import who_asks

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from starlette.requests import Request

    from services.gateway.routes.doors import Doors, Read

AS_OF, MIN_POSITION, LOG_TAILS = "as_of", "min_position", "log_tails"
# The reads that show dead workers' last lines; the others are of nobody's logs, and shared by all.
TELLING_LOGS = ("/instances", "/deployments/", "/events", "/history/")
NOT_MODIFIED = 304
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST = 2000
_IDENTIFIED = (b'{"items":[{"id":', b'{"items":[]', b'{"id":')
_POSITION = re.compile(r"[0-9]{1,18}")


async def forward(request: Request, doors: Doors, path: str, **fixed: str) -> Response:
    """Answer with what the query service says, byte by byte."""
    return await forward_chosen(request, doors, path, list(fixed.items()), instead_of=fixed.keys())


async def forward_chosen(
    request: Request,
    doors: Doors,
    path: str,
    chosen: Sequence[tuple[str, str]],
    *,
    instead_of: Collection[str],
) -> Response:
    """Answer the same with other parameters instead of some that were sent."""
    return _as_read(doors, await _read(request, doors, path, chosen, instead_of))


async def forward_shaped(
    request: Request,
    doors: Doors,
    path: str,
    shape: Callable[[dict[str, Any]], Mapping[str, Any]],
    **fixed: str,
) -> Response:
    """Answer with what the query service says, each thing in it shaped."""
    read = await _read(request, doors, path, list(fixed.items()), fixed.keys())
    if read.status == NOT_MODIFIED or _has_shape(read.body, shape):
        return _as_read(doors, read)
    found = orjson.loads(read.body)
    if isinstance(found.get("items"), list):
        shaped: Mapping[str, Any] = {**found, "items": [shape(item) for item in found["items"]]}
    else:
        shaped = shape(found)
    return doors.envelopes.around(
        shaped, position=read.position, headers=_headers(read), as_of=read.as_of
    )


async def _read(
    request: Request,
    doors: Doors,
    path: str,
    chosen: Sequence[tuple[str, str]],
    instead_of: Collection[str],
) -> Read:
    sent = [(name, value) for name, value in request.query_params.multi_items()]
    for name, value in sent:
        if len(value) > _LONGEST or _CONTROL.search(value) or _CONTROL.search(name):
            raise Refused("this is no value for a parameter", field=_CONTROL.sub("?", name)[:100])
    chosen = [*chosen, *_about_logs(request, path)]
    replaced = {MIN_POSITION, *instead_of, *(name for name, _ in chosen)}
    parameters = [(name, value) for name, value in sent if name not in replaced]
    parameters += chosen
    if (least := least_position(request, doors)) > 0:
        parameters.append((MIN_POSITION, str(least)))
    return await doors.reads.get(path, parameters, request.headers.get("if-none-match"))


def may_read_logs(request: Request) -> bool:
    """Return whether what workers write may be shown to who asks: a prompt may stand in it."""
    asker = who_asks(request)
    return asker is not None and asker.may(Permission.OPERATE)


def _about_logs(request: Request, path: str) -> list[tuple[str, str]]:
    hides = path.startswith(TELLING_LOGS) and not may_read_logs(request)
    return [(LOG_TAILS, "false")] if hides else []


def least_position(request: Request, doors: Doors) -> int:
    """Return the position asked for, and at least that of what was just written here."""
    asked = request.query_params.get(MIN_POSITION, "0")
    if not _POSITION.fullmatch(asked):
        raise Refused("a position is a whole number, 0 or more", field=MIN_POSITION)
    # What was just written here has no place in an answer about the past.
    own = 0 if AS_OF in request.query_params else doors.commands.read_from()
    return max(int(asked), own)


def _headers(read: Read) -> dict[str, str]:
    if not read.etag:
        return {}
    # Also of the past, which never changes: who may see it does.
    headers = {"etag": read.etag, "cache-control": "no-cache"}
    return headers | {"qm-as-of": read.as_of.decode()} if read.as_of else headers


def _as_read(doors: Doors, read: Read) -> Response:
    """Return the same bytes, or that nothing changed."""
    if read.status == NOT_MODIFIED:
        return Response(status_code=NOT_MODIFIED, headers=_headers(read))
    return doors.envelopes.around_bytes(
        read.body, position=read.position, headers=_headers(read), as_of=read.as_of
    )


def _has_shape(body: bytes, shape: Callable[[dict[str, Any]], Mapping[str, Any]]) -> bool:
    """Return whether all that the shape adds is there: a query service that is older adds none."""
    return shape in shapes.IDENTIFIED and body.startswith(_IDENTIFIED)

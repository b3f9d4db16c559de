"""A point of the past as people write it: a position of the log, or a moment in ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, PlainValidator, WithJsonSchema

from services.chassis.errors import Refused

if TYPE_CHECKING:
    from services.query.routes.cursors import Cursor
    from services.query.routes.reading import Read, Reader
    from services.query.state import Then

LAST_POSITION = 2**63 - 1
_LONGEST = 64
_POSITION = re.compile(r"[0-9]+")
# In a query string a `+` that nobody escaped arrives as a space.
_LOST_PLUS = re.compile(r"(T.*\d) (\d\d(:?\d\d)?)$")


def point(said: Any) -> int | datetime:
    """Return a position, or a moment in UTC; raises ValueError at anything else."""
    text = said if isinstance(said, str) else ""
    if len(text) <= _LONGEST:
        if _POSITION.fullmatch(text):
            return min(int(text), LAST_POSITION)
        try:
            moment = datetime.fromisoformat(_LOST_PLUS.sub(r"\1+\2", text))
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
    raise ValueError("a position of the log, or a time such as 2026-05-04T12:00:00Z, is wanted")


AsOf = Annotated[
    int | datetime,
    PlainValidator(point),
    WithJsonSchema({"type": "string", "maxLength": _LONGEST}),
    Field(
        description="Answer as if asked then: a position of the log, or a time in ISO 8601 (UTC "
        "where it names no zone), which means the last position recorded by then. Live figures "
        "come from telemetry, and are null where that is not kept any more."
    ),
]


async def then_of(reader: Reader, read: Read, cursor: Cursor | None = None) -> Then | None:
    """Return the position of the past to answer for, None for now.

    A page stays where the page before it was: its cursor says where, and goes before a time.
    """
    pinned, as_of = cursor.pinned if cursor else None, read.as_of
    if cursor and as_of is not None and pinned is None:
        raise Refused("this cursor belongs to a list of now: leave as_of out", field="cursor")
    if pinned is not None and isinstance(as_of, int) and as_of != pinned:
        raise Refused(f"this cursor belongs to as_of={pinned}", field="cursor")
    wanted = pinned if pinned is not None else as_of
    if wanted is None:
        return None
    then = await reader.then(wanted)
    if as_of is not None and then.position < read.min_position:
        detail = f"position {then.position} is before min_position {read.min_position}: send one"
        raise Refused(detail, field="as_of")
    return then

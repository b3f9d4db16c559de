"""Export the log: one page of recorded events as lines of JSON, and where the next one begins.

Pages need no memory on this side: who asks goes on behind the last page it has, so that an export
can be ended and gone on with at any moment, and neither side has anything to clean up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from services.chassis import wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.journal.records import Head, Row

PAGE_EVENTS, PAGE_BYTES = 2000, 1024 * 1024
PAGE_SPAN = 100_000  # positions looked through for a page: rare events must not scan the whole log
OPERATION = "log.export"

_Name = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\x00]+$")]
_Names = Annotated[list[_Name], Field(max_length=100)]
_Position = Annotated[int, Field(ge=0, le=2**53)]


class ExportQuestion(BaseModel):
    """`{op: log.export, after, through, types, streams, since, until}`; what is not given is all.

    streams: names, or families such as `node/`. after: behind this position; through: up to it.
    since, until: recorded at or after, and before.
    """

    after: _Position = 0
    through: _Position | None = None
    types: _Names | None = None
    streams: _Names | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


class Exportable(Protocol):
    """What a log must do to be exported."""

    async def head(self) -> Head:
        """Return the newest position."""

    async def selected(self, question: ExportQuestion, through: int, limit: int) -> Sequence[Row]:
        """Return what a question asks for, up to a position, in order."""


async def page(log: Exportable, question: ExportQuestion) -> tuple[dict[str, Any], bytes]:
    """Return the headers `through`, `head`, `events`, and lines of JSON (about 1 MiB at most).

    Everything asked for from `after` to `through` is in the page.
    """
    head = (await log.head()).position
    last = head if question.through is None else min(question.through, head)
    reach = max(question.after, min(question.after + PAGE_SPAN, last))
    rows = await log.selected(question, reach, PAGE_EVENTS)
    lines: list[bytes] = []
    size = 0
    for row in rows:
        line = wire.recorded_bytes(row)
        size += len(line) + 1
        if lines and size > PAGE_BYTES:
            break
        lines.append(line)
    is_whole = len(lines) == len(rows) and len(rows) < PAGE_EVENTS
    through = reach if is_whole else rows[len(lines) - 1]["position"]
    headers = {"through": through, "head": last, "events": len(lines)}
    return headers, b"".join(line + b"\n" for line in lines)

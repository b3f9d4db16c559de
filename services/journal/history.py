"""Answer history: one page of recorded events of some types, read from the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import AwareDatetime, BaseModel, Field

from services.chassis import wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from services.journal.records import Head, Row

PAGE_EVENTS, PAGE_BYTES = 1000, 1024 * 1024
PAGE_SPAN = 100_000  # positions looked through for a page: rare types must not scan the whole log


class Reading(Protocol):
    """What a log must do for history."""

    async def page(
        self, question: HistoryQuestion, through: int, limit: int
    ) -> tuple[Sequence[Row], Head]:
        """Return rows behind `after` and at most at `through`, and the head, of one snapshot."""


class HistoryQuestion(BaseModel):
    """`{op: history, types, after, until, telemetry_since}`; until: no page goes further."""

    types: Annotated[list[str], Field(max_length=200)] | None = None
    after: Annotated[int, Field(ge=0)] = 0
    until: Annotated[int, Field(ge=0)] | None = None
    telemetry_since: AwareDatetime | None = None


async def answer(log: Reading, question: HistoryQuestion) -> tuple[dict[str, Any], bytes]:
    """Return the headers `through`, `head`, `now` and the page's body (at most 1 MiB).

    Everything asked for from `after` to `through` is in the page.
    """
    reach = question.after + PAGE_SPAN
    if question.until is not None:
        reach = max(question.after, min(reach, question.until))
    rows, head = await log.page(question, reach, PAGE_EVENTS)
    parts: list[bytes] = []
    size = 0
    for row in rows:
        part = wire.recorded_bytes(row)
        size += len(part) + 1
        if parts and size > PAGE_BYTES:
            break
        parts.append(part)
    is_whole = len(parts) == len(rows) and len(rows) < PAGE_EVENTS
    through = min(reach, head.position) if is_whole else rows[len(parts) - 1]["position"]
    headers = {"through": through, "head": head.position, "now": head.now.isoformat()}
    event_id = _event_at(through, rows[: len(parts)], head)
    if event_id is not None:
        headers["id"] = event_id
    return headers, wire.encode_run(parts)


def _event_at(position: int, rows: Sequence[Row], head: Head) -> str | None:
    """Return the event id at the end of a page, if the page or the head tells."""
    if position == head.position:
        return head.event_id
    if rows and rows[-1]["position"] == position:
        return str(rows[-1]["event_id"])
    return None

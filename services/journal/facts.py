"""Answer for single facts, by position and by stream; and which position a moment is at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Protocol

import orjson
from pydantic import AwareDatetime, BaseModel, Field, StringConstraints

from services.chassis import wire
from services.chassis.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from services.journal.records import Head, Row

OPERATIONS = frozenset({"facts", "moment"})
MOST_FACTS = 200
_Position = Annotated[int, Field(ge=0, le=2**53)]
_Stream = Annotated[str, StringConstraints(max_length=300, pattern=r"^[^\x00]+$")]


class FactsQuestion(BaseModel):
    """`{op: facts, positions, stream, through}`: facts there, and the latest of that stream."""

    positions: Annotated[list[_Position], Field(max_length=MOST_FACTS)] = Field(
        default_factory=list
    )
    stream: _Stream | None = None
    through: _Position


class MomentQuestion(BaseModel):
    """`{op: moment, position}` or `{op: moment, at}`."""

    position: _Position | None = None
    at: AwareDatetime | None = None


class Telling(Protocol):
    """What a log must do to tell of single facts."""

    async def facts_of(self, question: FactsQuestion, limit: int) -> Sequence[Row]:
        """Return the facts asked for up to a position, in order, the latest `limit` of them."""

    async def read(self, after: int, limit: int) -> Sequence[Row]:
        """Return the rows behind a position, in order."""

    async def head(self) -> Head:
        """Return the newest position."""


async def answer(log: Telling, question: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Return what is asked for; raises Refused, or ValidationError."""
    if question["op"] == "moment":
        return await moment(log, MomentQuestion.model_validate(question))
    return await facts(log, FactsQuestion.model_validate(question))


async def facts(log: Telling, question: FactsQuestion) -> tuple[dict[str, Any], bytes]:
    """Return the facts as a run."""
    rows = await log.facts_of(question, MOST_FACTS)
    return {}, wire.encode_run(wire.recorded_bytes(row) for row in rows)


async def moment(log: Telling, question: MomentQuestion) -> tuple[dict[str, Any], bytes]:
    """Return `{position, at, head}`: a position with the moment it was recorded at.

    Of a moment: the last position recorded by then, and that moment itself. Raises Refused for
    what is not there yet, and for what was before the beginning.
    """
    head = await log.head()
    if question.at is not None:
        if question.at > head.now:
            raise Refused("it is in the future")
        position = await _position_at(log, question.at, head.position)
        if position == 0:
            raise Refused("it is before the beginning of the log")
        return _found(position, question.at, head)
    position = question.position or 0
    if position == 0:
        raise Refused("positions begin at 1")
    if position > head.position:
        raise Refused(f"the newest position is {head.position}")
    rows = await log.read(position - 1, 1)
    return _found(position, rows[0]["recorded_at"], head)


def _found(position: int, at: datetime, head: Head) -> tuple[dict[str, Any], bytes]:
    return {}, orjson.dumps({"position": position, "at": at, "head": head.position})


async def _position_at(log: Telling, at: datetime, head: int) -> int:
    """Return the last position recorded at a moment or before; 0 when there is none.

    Times never decrease along positions, so halving finds it in any log, also behind a window.
    """
    low, high = 0, head
    while low < high:
        middle = (low + high + 1) // 2
        rows = await log.read(middle - 1, 1)
        if rows and rows[0]["recorded_at"] <= at:
            low = max(middle, min(rows[0]["position"], high))
        else:
            high = middle - 1
    return low

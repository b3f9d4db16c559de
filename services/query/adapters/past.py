"""The past in SQL: which position a moment means, and a statement about now turned to then."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from services.chassis.database import Queries
from services.chassis.errors import Refused, Unavailable
from services.query.state import Then

if TYPE_CHECKING:
    from services.chassis.database import Record, Statements

PARAMETERS = ("$as_of", "$moment", "$kept")
_QUERIES = Queries(Path(__file__).parents[1] / "queries.sql")
_ROWS = (
    "environments models nodes gpus instances queues strategies alerts webhooks names leases asks"
    " decisions"
)
_STATUSES = "node_status gpu_status model_status"
_LOG = "all_events facts telemetry"
_OF_MODELS = re.compile(rf"\brm\.({_ROWS.replace(' ', '|')})\b")
_OF_STATUSES = re.compile(rf"\brm\.({_STATUSES.replace(' ', '|')})\b")
_OF_QUEUES = re.compile(r"\brm\.queue_status\b")
_OF_LOG = re.compile(rf"\blog\.({_LOG.replace(' ', '|')})\b")


async def then_of(database: Statements, as_of: int | datetime) -> Then:
    """Return the position that a position or a moment means.

    Raises Refused, naming as_of, when it is in the future or before the beginning.
    """
    is_moment = isinstance(as_of, datetime)
    name = "then_of_moment" if is_moment else "then_of_position"
    row = await database.fetchrow(_QUERIES[name], as_of)
    if row is None:
        raise Unavailable("the log does not answer")
    _check(row, as_of)
    position = row["position"]
    settled = not is_moment or position < row["head"]
    return Then(position, row["recorded_at"], settled, position > row["dropped"])


def _check(row: Record, as_of: int | datetime) -> None:
    is_moment = isinstance(as_of, datetime)
    newest = f"the newest position is {row['head']}"
    if isinstance(as_of, datetime) and as_of > row["now"]:
        raise Refused(f"{as_of.isoformat()} is in the future: {newest}", field="as_of")
    if not is_moment and row["position"] > row["head"]:
        raise Refused(f"position {as_of} is in the future: {newest}", field="as_of")
    if row["position"] < 1 or row["recorded_at"] is None:
        said = as_of.isoformat() if isinstance(as_of, datetime) else f"position {as_of}"
        raise Refused(f"{said} is before the log's beginning", field="as_of")


def turned(name: str) -> str:
    """Return a named statement about now as one about then, with PARAMETERS in it.

    Every model, status and log is read through the function that gives its past. A statement
    whose past has another form stands in the file under its name and `_then`.
    """
    if f"{name}_then" in _QUERIES:
        return _QUERIES[f"{name}_then"]
    now = _QUERIES[name]
    then = _OF_MODELS.sub(r"rm.\1_at($as_of)", now)
    then = _OF_STATUSES.sub(r"rm.\1_at($as_of, $moment)", then)
    then = _OF_QUEUES.sub("rm.queue_status_at($as_of, $moment, $kept)", then)
    then = _OF_LOG.sub(r"log.\1_at($as_of)", then)
    if then == now:
        raise Refused("this is not kept of the past", field="as_of")
    return then

"""Asks: starts that somebody asked for by hand, and what came of them."""

from collections.abc import Iterable

from contracts.envelope import Recorded
from contracts.events.instance import (
    InstanceStartAsked,
    InstanceStartRefused,
    InstanceStartRequested,
)
from services.projector.state import Projection, Row, moment


def _spread(event: Recorded) -> Iterable[tuple[str, Recorded]]:
    ask_id = event.data.get("ask_id")
    return ((ask_id, event),) if ask_id else ()


def _asked(_row: Row | None, event: Recorded) -> Row:
    data = event.data
    return {
        "ask_id": data["ask_id"],
        "model_id": data["model_id"],
        "node_id": data["node_id"],
        "gpu_index": data.get("gpu_index"),
        "config": data.get("config", {}),
        "actor": event.meta.actor,
        "state": "asked",
        "instance_id": None,
        "reason": None,
        "asked_at": moment(event.recorded_at),
        "answered_at": None,
    }


def _placed(row: Row | None, event: Recorded) -> Row | None:
    if row is None:
        return None
    answer = {"state": "placed", "instance_id": event.data["instance_id"]}
    answered = {"reason": event.data["reason"], "answered_at": moment(event.recorded_at)}
    return {**row, **answer, **answered}


def _refused(row: Row | None, event: Recorded) -> Row | None:
    if row is None:
        return None
    answered = {"reason": event.data["reason"], "answered_at": moment(event.recorded_at)}
    return {**row, "state": "refused", **answered}


ASKS = Projection(
    name="asks",
    spread=_spread,
    on={
        InstanceStartAsked: _asked,
        InstanceStartRequested: _placed,
        InstanceStartRefused: _refused,
    },
)

"""Models: what is served, from which queue, whether the floor is met and what is deferred."""

from contracts.envelope import Recorded
from contracts.events.instance import InstanceStartRequested
from contracts.events.model import (
    ModelDeferred,
    ModelDeleted,
    ModelFloorMet,
    ModelFloorUnmet,
    ModelRegistered,
    ModelUpdated,
)
from services.projector.state import Projection, Row, by, gone, moment

_QUEUE = ("host", "port", "amqp_port", "vhost", "name", "username")


def _put(row: Row | None, event: Recorded) -> Row:
    data, at = event.data, moment(event.recorded_at)
    queue = data["queue"]
    return {
        "model_id": data["model_id"],
        "environment_id": data["environment_id"],
        "name": data["name"],
        "description": data.get("description", ""),
        "queue": {
            **{name: queue.get(name) for name in _QUEUE},
            "has_password": queue.get("password") is not None,
        },
        "average_inference_time_s": data["average_inference_time_s"],
        "launch": data["launch"],
        "min_instances": data.get("min_instances", 1),
        "max_instances": data.get("max_instances", 1),
        "on_lost_control": data.get("on_lost_control", "serve"),
        "floor_unmet": row["floor_unmet"] if row else None,
        "deferred": row["deferred"] if row else None,
        "created_at": row["created_at"] if row else at,
        "updated_at": at,
        "version": event.version,
    }


def _floor_unmet(row: Row | None, event: Recorded) -> Row | None:
    if row is None:
        return None
    data, at, known = event.data, moment(event.recorded_at), row["floor_unmet"]
    unmet = {
        "instances": data["instances"],
        "floor": data["floor"],
        "reason": data["reason"],
        "since": known["since"] if known else at,
    }
    return {**row, "floor_unmet": unmet}


def _floor_met(row: Row | None, _event: Recorded) -> Row | None:
    if row is None or (row["floor_unmet"] is None and row["deferred"] is None):
        return row
    return {**row, "floor_unmet": None, "deferred": None}


def _deferred(row: Row | None, event: Recorded) -> Row | None:
    if row is None:
        return None
    deferred = {"reason": event.data["reason"], "at": moment(event.recorded_at)}
    return {**row, "deferred": deferred}


def _start_requested(row: Row | None, _event: Recorded) -> Row | None:
    if row is None or row["deferred"] is None:
        return row
    return {**row, "deferred": None}


MODELS = Projection(
    name="models",
    spread=by("model_id"),
    on={
        ModelRegistered: _put,
        ModelUpdated: _put,
        ModelDeleted: gone,
        ModelFloorUnmet: _floor_unmet,
        ModelFloorMet: _floor_met,
        ModelDeferred: _deferred,
        InstanceStartRequested: _start_requested,
    },
)

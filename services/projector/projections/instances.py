"""Instances: every worker ever asked for, from the request to its confirmed end."""

from contracts.envelope import Recorded
from contracts.events.instance import (
    InstanceDied,
    InstanceStarted,
    InstanceStartFailed,
    InstanceStartRequested,
    InstanceStopAsked,
    InstanceStopped,
    InstanceStopRequested,
)
from services.projector.state import Projection, Row, by, moment

_UNKNOWN: Row = {
    "model_id": None,
    "model_name": None,
    "node_id": None,
    "gpu_uuid": None,
    "gpu_index": None,
    "boot_id": None,
    "state": "requested",
    "pinned": False,
    "ask_id": None,
    "replaces": None,
    "replaced_by": None,
    "epoch": 0,
    "on_lost_control": "serve",
    "reason": None,
    "stop_reason": None,
    "pid": None,
    "endpoint": None,
    "load_s": None,
    "exit_code": None,
    "error": None,
    "requested_at": None,
    "started_at": None,
    "stop_asked_at": None,
    "stop_requested_at": None,
    "ended_at": None,
}
_WANTED = ("model_id", "model_name", "node_id", "gpu_uuid", "gpu_index", "boot_id")
_OPTIONS = ("pinned", "ask_id", "replaces", "epoch", "on_lost_control")
_PLACE = ("model_id", "node_id", "gpu_uuid")
_OVER = frozenset({"stopped", "failed", "died"})


def _known(row: Row | None, event: Recorded) -> Row:
    """Return the row, or one made of what the event itself says about model and place."""
    data = event.data
    if row:
        return row
    place = {name: data.get(name) for name in _PLACE}
    return {**_UNKNOWN, **place, "instance_id": data["instance_id"]}


def _start_requested(row: Row | None, event: Recorded) -> Row:
    data = event.data
    return {
        **_known(row, event),
        **{name: data[name] for name in _WANTED},
        **{name: data.get(name, _UNKNOWN[name]) for name in _OPTIONS},
        "reason": data["reason"],
        "requested_at": moment(event.recorded_at),
    }


def _started(row: Row | None, event: Recorded) -> Row:
    data, known = event.data, _known(row, event)
    return {
        **known,
        "state": "ready" if known["state"] == "requested" else known["state"],
        "pid": data["pid"],
        "endpoint": data.get("endpoint"),
        "load_s": data.get("load_s", 0.0),
        "started_at": moment(event.recorded_at),
    }


def _stop_asked(row: Row | None, event: Recorded) -> Row | None:
    return {**row, "stop_asked_at": moment(event.recorded_at)} if row else None


def _stop_requested(row: Row | None, event: Recorded) -> Row:
    data, known = event.data, _known(row, event)
    return {
        **known,
        "state": known["state"] if known["state"] in _OVER else "stopping",
        "stop_reason": data["reason"],
        "replaced_by": data.get("replaced_by"),
        "stop_requested_at": moment(event.recorded_at),
    }


def _ended(row: Row | None, event: Recorded, state: str, error: str | None) -> Row:
    ended_at = moment(event.recorded_at)
    exit_code = event.data.get("exit_code")
    end = {"state": state, "error": error, "exit_code": exit_code, "ended_at": ended_at}
    return {**_known(row, event), **end}


def _start_failed(row: Row | None, event: Recorded) -> Row:
    return _ended(row, event, "failed", f"{event.data['code']}: {event.data['error']}")


def _stopped(row: Row | None, event: Recorded) -> Row:
    return _ended(row, event, "stopped", None)


def _died(row: Row | None, event: Recorded) -> Row:
    log_tail = event.data.get("log_tail", "")
    return {**_ended(row, event, "died", event.data["because"]), "log_tail": log_tail}


INSTANCES = Projection(
    name="instances",
    spread=by("instance_id"),
    on={
        InstanceStartRequested: _start_requested,
        InstanceStarted: _started,
        InstanceStartFailed: _start_failed,
        InstanceStopAsked: _stop_asked,
        InstanceStopRequested: _stop_requested,
        InstanceStopped: _stopped,
        InstanceDied: _died,
    },
)

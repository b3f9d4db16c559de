"""Decisions: everything that was decided about a model, each with its reason."""

from contracts.envelope import Recorded
from contracts.events.instance import (
    InstanceStartRefused,
    InstanceStartRequested,
    InstanceStopRequested,
)
from contracts.events.model import ModelDeferred, ModelFloorUnmet
from services.projector.state import Row, Series, moment

_ABOUT = ("instance_id", "node_id", "gpu_uuid", "ask_id", "replaces", "replaced_by")


def _decided(event: Recorded) -> Row:
    data = event.data
    return {
        "position": event.position,
        "event_id": event.event_id,
        "type": event.type,
        "stream": event.stream,
        "at": moment(event.recorded_at),
        "model_id": data["model_id"],
        **{name: data[name] for name in _ABOUT if data.get(name) is not None},
        "reason": data["reason"],
    }


DECISIONS = Series(
    name="decisions",
    key="model_id",
    on=dict.fromkeys(
        (
            InstanceStartRequested,
            InstanceStopRequested,
            InstanceStartRefused,
            ModelFloorUnmet,
            ModelDeferred,
        ),
        _decided,
    ),
)

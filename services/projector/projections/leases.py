"""Leases: who leads each service, and since when."""

from contracts.envelope import Recorded
from contracts.events.control import LeaseAcquired
from services.projector.state import Projection, Row, by, moment


def _acquired(_row: Row | None, event: Recorded) -> Row:
    data = event.data
    return {
        "name": data["name"],
        "epoch": data["epoch"],
        "holder": data["holder"],
        "acquired_at": moment(event.recorded_at),
        "acquired_position": event.position,
    }


LEASES = Projection(name="leases", spread=by("name"), on={LeaseAcquired: _acquired})

"""Rebuilds: which read models were ordered to be made anew; what came of it is not in the log."""

from contracts.envelope import Recorded
from contracts.events.control import RebuildAsked
from services.projector.state import Projection, Row, by, moment


def _asked(_row: Row | None, event: Recorded) -> Row:
    data = event.data
    return {
        "rebuild_id": data["rebuild_id"],
        "models": list(data.get("models", ())),
        "only_compare": data.get("only_compare", False),
        "actor": event.meta.actor,
        "asked_at": moment(event.recorded_at),
    }


REBUILDS = Projection(
    name="rebuilds", spread=by("rebuild_id"), on={RebuildAsked: _asked}, versioned=False
)

"""Queues: whether each model's queue can be read; its samples are in `queue_history`."""

from contracts.envelope import Recorded
from contracts.events.model import ModelDeleted
from contracts.events.queue import QueueRecovered, QueueUnreachable
from services.projector.state import Projection, Row, by, gone, moment


def _unreachable(row: Row | None, event: Recorded) -> Row:
    data, at = event.data, moment(event.recorded_at)
    return {
        "model_id": data["model_id"],
        "reachable": False,
        "error": {"code": data["code"], "detail": data["detail"]},
        "since": row["since"] if row and not row["reachable"] else at,
    }


def _recovered(_row: Row | None, event: Recorded) -> Row:
    since = moment(event.recorded_at)
    return {"model_id": event.data["model_id"], "reachable": True, "error": None, "since": since}


QUEUES = Projection(
    name="queues",
    spread=by("model_id"),
    on={QueueUnreachable: _unreachable, QueueRecovered: _recovered, ModelDeleted: gone},
)

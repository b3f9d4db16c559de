"""Queue history: the samples of each model's queue, the newest so many of them."""

from contracts.envelope import Recorded
from contracts.events.queue import QueueSampled
from services.projector.state import Row, Series, moment


def _sampled(event: Recorded) -> Row:
    data = event.data
    return {
        "sampled_at": moment(event.recorded_at),
        "length": data["length"],
        "ready": data["ready"],
        "unacknowledged": data["unacknowledged"],
        "consumers": data.get("consumers", 0),
        "published_total": data.get("published_total"),
        "source": data.get("source", "management"),
    }


QUEUE_HISTORY = Series(
    name="queue_history", key="model_id", on={QueueSampled: _sampled}, trimmed=True
)

"""Which queues to ask now, and what an answer is worth recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from contracts.envelope import Draft
from contracts.events.queue import QueueRecovered, QueueSampled, QueueUnreachable
from services.queue_sampler.state import Answer, Failure, Probe, Reading, State

GREW_BY = 10  # messages; below this a doubling is noise
GREW_TIMES = 2
MAX_DETAIL = 500

Urgency = Literal["grew", "emptied"]


@dataclass(frozen=True, slots=True)
class Asked:
    """When a model's queue may be asked again (monotonic seconds), and which address was asked."""

    again_at: float
    since: int


def due(state: State, asked: Mapping[str, Asked], now_s: float, *, at_once: bool) -> list[str]:
    """Return the models to ask now, in order of their ids.

    at_once: a model that is new, or whose queue moved, does not wait for its turn.
    """
    return [
        model_id
        for model_id, queue in sorted(state.queues.items())
        if (last := asked.get(model_id)) is None
        or now_s >= last.again_at
        or (at_once and last.since != queue.since)
    ]


def changes(state: State, model_id: str, answer: Answer) -> list[tuple[Draft, ...]]:
    """Return the fact that an answer changes: the queue cannot be read, or can be again."""
    if model_id not in state.queues:
        return []
    trouble = state.trouble.get(model_id)
    if isinstance(answer, Failure) and answer.code != trouble:
        detail = answer.detail[:MAX_DETAIL]
        event = QueueUnreachable.model_validate(
            {"model_id": model_id, "code": answer.code, "detail": detail}
        )
        return [(Draft(f"queue/{model_id}", event),)]
    if isinstance(answer, Reading) and trouble is not None:
        return [(Draft(f"queue/{model_id}", QueueRecovered(model_id=model_id)),)]
    return []


def urgent(previous: Reading | None, probe: Probe) -> Urgency | None:
    """Return how a queue changed so much that it should not wait for its next sample, or None.

    grew: from empty to non-empty, or to twice the ready messages and by at least ten.
    emptied: from non-empty to empty. Where nothing is known yet, nothing has changed.
    """
    if previous is None:
        return None
    if probe.ready == 0:
        return "emptied" if previous.ready > 0 else None
    if previous.ready == 0:
        return "grew"
    doubled = probe.ready >= GREW_TIMES * previous.ready
    return "grew" if doubled and probe.ready - previous.ready >= GREW_BY else None


def sampled(model_id: str, reading: Reading) -> Draft:
    """Return the telemetry of a length that the Management API told."""
    return _sample(model_id, reading, "management")


def probed(model_id: str, previous: Reading, probe: Probe) -> Draft:
    """Return the telemetry of a length that a probe told.

    A passive declare does not count what is taken and not acknowledged: the last known counts.
    """
    reading = Reading(probe.ready, previous.unacknowledged, probe.consumers)
    return _sample(model_id, reading, "probe")


def _sample(model_id: str, reading: Reading, source: Literal["management", "probe"]) -> Draft:
    event = QueueSampled(
        model_id=model_id,
        length=reading.ready + reading.unacknowledged,
        ready=reading.ready,
        unacknowledged=reading.unacknowledged,
        source=source,
        consumers=reading.consumers,
        published_total=reading.published_total,
    )
    return Draft(f"queue-samples/{model_id}", event)

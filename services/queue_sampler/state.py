"""The queues of all models, what was last recorded about each, and which cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from contracts.catalogue import read, types
from contracts.envelope import Recorded
from contracts.events.model import ModelDeleted, ModelRegistered, ModelUpdated
from contracts.events.queue import QueueRecovered, QueueSampled, QueueUnreachable
from contracts.types import QueueAddress


@dataclass(frozen=True, slots=True)
class Reading:
    """What the Management API said of a queue at one moment (messages)."""

    ready: int
    unacknowledged: int
    consumers: int = 0
    published_total: int | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """What a passive declare said of a queue: the messages nobody has taken yet, at this moment."""

    ready: int
    consumers: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a queue could not be read; `code` is one of those of queue.unreachable."""

    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class NotYet:
    """Neither a length nor a fault: the broker has not counted the queue yet; ask again soon."""

    detail: str


Answer = Reading | Failure | NotYet


@dataclass(frozen=True, slots=True)
class Queue:
    """A model's queue, and the position from which on it is at this address."""

    address: QueueAddress
    since: int


class State:
    """Folded in place; a model without an entry in `samples` is one whose length is unknown."""

    TYPES: frozenset[str] = types(
        (
            ModelRegistered,
            ModelUpdated,
            ModelDeleted,
            QueueSampled,
            QueueUnreachable,
            QueueRecovered,
        )
    )

    def __init__(self) -> None:
        self.queues: dict[str, Queue] = {}
        self.samples: dict[str, Reading] = {}
        self.trouble: dict[str, str] = {}

    def apply(self, event: Recorded) -> None:
        """Fold one event."""
        _REACTIONS[event.type](self, event, read(event))

    def _address(self, event: Recorded, known: ModelRegistered | ModelUpdated) -> None:
        queue = self.queues.get(known.model_id)
        if queue is None or queue.address != known.queue:
            self.queues[known.model_id] = Queue(known.queue, event.position)
            self.samples.pop(known.model_id, None)

    def _deleted(self, event: Recorded, gone: ModelDeleted) -> None:
        for kept in (self.queues, self.samples, self.trouble):
            kept.pop(gone.model_id, None)

    def _sampled(self, event: Recorded, sample: QueueSampled) -> None:
        if sample.model_id in self.queues:
            self.samples[sample.model_id] = Reading(
                sample.ready, sample.unacknowledged, sample.consumers, sample.published_total
            )

    def _unreachable(self, event: Recorded, trouble: QueueUnreachable) -> None:
        if trouble.model_id in self.queues:
            self.trouble[trouble.model_id] = trouble.code
            self.samples.pop(trouble.model_id, None)

    def _recovered(self, event: Recorded, recovered: QueueRecovered) -> None:
        self.trouble.pop(recovered.model_id, None)


_REACTIONS: dict[str, Callable[[State, Recorded, Any], None]] = {
    ModelRegistered.type: State._address,
    ModelUpdated.type: State._address,
    ModelDeleted.type: State._deleted,
    QueueSampled.type: State._sampled,
    QueueUnreachable.type: State._unreachable,
    QueueRecovered.type: State._recovered,
}

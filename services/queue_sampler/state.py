"""The queues of all models, what was last recorded about each, and which cannot be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import singledispatch
from typing import ClassVar

from contracts.catalogue import read, types
from contracts.envelope import Event, Recorded
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


Connection = tuple[str, int, str, str, str]


def connection_of(address: QueueAddress) -> Connection:
    """Return what queues that share one AMQP connection have in common.

    A changed password is another connection.
    """
    ref = address.password
    secret = f"{ref.secret_id}/{ref.version}" if ref else ""
    return address.host, address.amqp_port, address.username, address.vhost, secret


@dataclass(frozen=True, slots=True)
class Queue:
    """A model's queue, and the position from which on it is at this address."""

    address: QueueAddress
    since: int


@dataclass
class State:
    """Folded in place; a model without an entry in `samples` is one whose length is unknown."""

    TYPES: ClassVar[frozenset[str]] = types(
        (
            ModelRegistered,
            ModelUpdated,
            ModelDeleted,
            QueueSampled,
            QueueUnreachable,
            QueueRecovered,
        )
    )

    queues: dict[str, Queue] = field(default_factory=dict)
    samples: dict[str, Reading] = field(default_factory=dict)
    trouble: dict[str, str] = field(default_factory=dict)

    def apply(self, event: Recorded) -> None:
        """Fold one event."""
        _fold(read(event), self, event.position)


@singledispatch
def _fold(event: Event, _state: State, _position: int) -> None:
    raise TypeError(f"the queue sampler does not fold {event.type}")


@_fold.register(ModelRegistered)
@_fold.register(ModelUpdated)
def _known(event: ModelRegistered | ModelUpdated, state: State, position: int) -> None:
    queue = state.queues.get(event.model_id)
    if queue is None or queue.address != event.queue:
        state.queues[event.model_id] = Queue(event.queue, position)
        state.samples.pop(event.model_id, None)


@_fold.register(ModelDeleted)
def _deleted(event: ModelDeleted, state: State, _position: int) -> None:
    state.queues.pop(event.model_id, None)
    state.samples.pop(event.model_id, None)
    state.trouble.pop(event.model_id, None)


@_fold.register(QueueSampled)
def _sampled(event: QueueSampled, state: State, _position: int) -> None:
    if event.model_id in state.queues:
        state.samples[event.model_id] = Reading(
            event.ready, event.unacknowledged, event.consumers, event.published_total
        )


@_fold.register(QueueUnreachable)
def _unreachable(event: QueueUnreachable, state: State, _position: int) -> None:
    if event.model_id in state.queues:
        state.trouble[event.model_id] = event.code
        state.samples.pop(event.model_id, None)


@_fold.register(QueueRecovered)
def _recovered(event: QueueRecovered, state: State, _position: int) -> None:
    state.trouble.pop(event.model_id, None)

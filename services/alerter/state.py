"""What wakes someone, which alerts are open, and which messages have not reached their webhook."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import singledispatch
from typing import Any, Generic, TypeVar

from contracts.catalogue import read, types
from contracts.envelope import Event, Recorded
from contracts.events import alert, control, gpu, model, node, queue
from contracts.types import Scalar, SecretRef, Severity

GONE = 410
E = TypeVar("E", bound=Event)


@dataclass(frozen=True, slots=True)
class Limits:
    """When something is worth an alert."""

    growth_recent_s: float = 300.0
    growth_before_s: float = 1800.0
    growth_factor: float = 2.0
    growth_messages: float = 10.0


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that should wake someone; `position` is that of the event it began with."""

    rule: str
    subject: str
    severity: Severity
    summary: str
    position: int
    evidence: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Since(Generic[E]):
    """An event that holds until another one ends it."""

    event: E
    position: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where alerts go to, and what their signature is made with."""

    url: str
    secret: SecretRef | None


@dataclass(frozen=True, slots=True)
class Pending:
    """A message that a webhook has not taken yet, and how often that was tried."""

    message_id: str
    webhook_id: str
    alert_id: str
    subject: str
    type: str
    at: datetime
    data: Mapping[str, Any]
    failures: int = 0
    failed_at: datetime | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Which message for which webhook."""
        return self.message_id, self.webhook_id


class State:
    """Folded in place. Samples are kept for as long as the growth rule looks back."""

    TYPES: frozenset[str] = types(
        (
            alert.AlertRaised,
            alert.AlertResolved,
            alert.AlertDelivered,
            alert.AlertDeliveryFailed,
            alert.WebhookRegistered,
            alert.WebhookDeleted,
            control.LeaseAcquired,
            gpu.GpuQuarantined,
            gpu.GpuReleased,
            model.ModelRegistered,
            model.ModelUpdated,
            model.ModelDeleted,
            model.ModelFloorUnmet,
            model.ModelFloorMet,
            node.NodeRegistered,
            node.NodeUpdated,
            node.NodeDeleted,
            node.NodeWentOffline,
            node.NodeCameOnline,
            node.FleetSilenceSuspected,
            node.FleetSilenceCleared,
            queue.QueueSampled,
            queue.QueueUnreachable,
            queue.QueueRecovered,
        )
    )

    def __init__(self, keep_s: float = 2100.0) -> None:
        self.keep = timedelta(seconds=keep_s)
        self.position = 0
        self.leader = ""
        self.nodes: dict[str, str] = {}
        self.models: dict[str, str] = {}
        self.offline: dict[str, Since[node.NodeWentOffline]] = {}
        self.floors: dict[str, Since[model.ModelFloorUnmet]] = {}
        self.unreachable: dict[str, Since[queue.QueueUnreachable]] = {}
        self.quarantined: dict[str, Since[gpu.GpuQuarantined]] = {}
        self.silence: Since[node.FleetSilenceSuspected] | None = None
        self.samples: dict[str, deque[tuple[datetime, int]]] = {}
        self.open: dict[tuple[str, str], alert.AlertRaised] = {}
        self.webhooks: dict[str, Webhook] = {}
        self.outbox: dict[tuple[str, str], Pending] = {}

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        self.position = recorded.position
        _fold(read(recorded), self, recorded)

    def post(self, event: alert.AlertRaised | alert.AlertResolved, recorded: Recorded) -> None:
        """Put a message for every webhook of this moment into the outbox."""
        for webhook_id in self.webhooks:
            pending = Pending(
                message_id=recorded.event_id,
                webhook_id=webhook_id,
                alert_id=event.alert_id,
                subject=event.subject,
                type=event.type,
                at=recorded.recorded_at,
                data=recorded.data,
            )
            self.outbox[pending.key] = pending

    def disconnect(self, webhook_id: str) -> None:
        """Forget a webhook and all that waits for it."""
        self.webhooks.pop(webhook_id, None)
        for key in [key for key in self.outbox if key[1] == webhook_id]:
            del self.outbox[key]


def _since(event: E, recorded: Recorded) -> Since[E]:
    return Since(event, recorded.position, recorded.recorded_at)


@singledispatch
def _fold(event: Event, _state: State, _recorded: Recorded) -> None:
    raise TypeError(f"the alerter does not fold {event.type}")


# Alerts and who is told.


@_fold.register(alert.AlertRaised)
def _raised(event: alert.AlertRaised, state: State, recorded: Recorded) -> None:
    state.open[event.rule, event.subject] = event
    state.post(event, recorded)


@_fold.register(alert.AlertResolved)
def _resolved(event: alert.AlertResolved, state: State, recorded: Recorded) -> None:
    state.open.pop((event.rule, event.subject), None)
    state.post(event, recorded)


@_fold.register(alert.AlertDelivered)
def _delivered(event: alert.AlertDelivered, state: State, _recorded: Recorded) -> None:
    state.outbox.pop((event.message_id, event.webhook_id), None)


@_fold.register(alert.AlertDeliveryFailed)
def _not_delivered(event: alert.AlertDeliveryFailed, state: State, recorded: Recorded) -> None:
    key = event.message_id, event.webhook_id
    pending = state.outbox.get(key)
    if event.status_code == GONE:
        state.disconnect(event.webhook_id)
    elif event.gives_up:
        state.outbox.pop(key, None)
    elif pending is not None:
        state.outbox[key] = replace(pending, failures=event.attempt, failed_at=recorded.recorded_at)


@_fold.register(alert.WebhookRegistered)
def _connected(event: alert.WebhookRegistered, state: State, _recorded: Recorded) -> None:
    state.webhooks[event.webhook_id] = Webhook(event.url, event.secret)


@_fold.register(alert.WebhookDeleted)
def _disconnected(event: alert.WebhookDeleted, state: State, _recorded: Recorded) -> None:
    state.disconnect(event.webhook_id)


@_fold.register(control.LeaseAcquired)
def _led(event: control.LeaseAcquired, state: State, _recorded: Recorded) -> None:
    if event.name == "alerter":
        state.leader = event.holder


# Nodes and GPUs.


@_fold.register(node.NodeRegistered)
@_fold.register(node.NodeUpdated)
def _node(event: node.NodeRegistered | node.NodeUpdated, state: State, _recorded: Recorded) -> None:
    state.nodes[event.node_id] = event.name


@_fold.register(node.NodeDeleted)
def _no_node(event: node.NodeDeleted, state: State, _recorded: Recorded) -> None:
    state.nodes.pop(event.node_id, None)
    state.offline.pop(event.node_id, None)


@_fold.register(node.NodeWentOffline)
def _offline(event: node.NodeWentOffline, state: State, recorded: Recorded) -> None:
    state.offline[event.node_id] = _since(event, recorded)


@_fold.register(node.NodeCameOnline)
def _online(event: node.NodeCameOnline, state: State, _recorded: Recorded) -> None:
    state.offline.pop(event.node_id, None)


@_fold.register(node.FleetSilenceSuspected)
def _silent(event: node.FleetSilenceSuspected, state: State, recorded: Recorded) -> None:
    state.silence = _since(event, recorded)


@_fold.register(node.FleetSilenceCleared)
def _heard(_event: node.FleetSilenceCleared, state: State, _recorded: Recorded) -> None:
    state.silence = None


@_fold.register(gpu.GpuQuarantined)
def _quarantined(event: gpu.GpuQuarantined, state: State, recorded: Recorded) -> None:
    state.quarantined[event.gpu_uuid] = _since(event, recorded)


@_fold.register(gpu.GpuReleased)
def _released(event: gpu.GpuReleased, state: State, _recorded: Recorded) -> None:
    state.quarantined.pop(event.gpu_uuid, None)


# Models and their queues.


@_fold.register(model.ModelRegistered)
@_fold.register(model.ModelUpdated)
def _model(
    event: model.ModelRegistered | model.ModelUpdated, state: State, _recorded: Recorded
) -> None:
    state.models[event.model_id] = event.name


@_fold.register(model.ModelDeleted)
def _no_model(event: model.ModelDeleted, state: State, _recorded: Recorded) -> None:
    state.models.pop(event.model_id, None)
    state.floors.pop(event.model_id, None)
    state.unreachable.pop(event.model_id, None)
    state.samples.pop(event.model_id, None)


@_fold.register(model.ModelFloorUnmet)
def _floor_unmet(event: model.ModelFloorUnmet, state: State, recorded: Recorded) -> None:
    known = state.floors.get(event.model_id)
    now = _since(event, recorded)
    # Another reason for the same want of instances is the same alert.
    state.floors[event.model_id] = now if known is None else replace(known, event=event)


@_fold.register(model.ModelFloorMet)
def _floor_met(event: model.ModelFloorMet, state: State, _recorded: Recorded) -> None:
    state.floors.pop(event.model_id, None)


@_fold.register(queue.QueueSampled)
def _sampled(event: queue.QueueSampled, state: State, recorded: Recorded) -> None:
    if event.model_id not in state.models:
        return
    samples = state.samples.setdefault(event.model_id, deque())
    samples.append((recorded.recorded_at, event.length))
    while samples[0][0] < recorded.recorded_at - state.keep:
        samples.popleft()


@_fold.register(queue.QueueUnreachable)
def _unreachable(event: queue.QueueUnreachable, state: State, recorded: Recorded) -> None:
    state.unreachable[event.model_id] = _since(event, recorded)


@_fold.register(queue.QueueRecovered)
def _recovered(event: queue.QueueRecovered, state: State, _recorded: Recorded) -> None:
    state.unreachable.pop(event.model_id, None)

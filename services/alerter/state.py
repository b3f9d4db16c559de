"""What wakes someone, which alerts are open, and which messages have not reached their webhook."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import singledispatch
from typing import Any, ClassVar, Generic, TypeVar

from contracts.catalogue import read, types
from contracts.envelope import Cause, Event, Recorded
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
    """Something that should wake someone; `position` is that of the event it began with.

    cause: that event.
    """

    rule: str
    subject: str
    severity: Severity
    summary: str
    position: int
    evidence: Mapping[str, Scalar] = field(default_factory=dict)
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class Since(Generic[E]):
    """An event that holds until another one ends it."""

    event: E
    at: datetime
    cause: Cause

    @property
    def position(self) -> int:
        """Return the position it holds since."""
        return self.cause.position


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where alerts go to, and what their signature is made with."""

    url: str
    secret: SecretRef | None


@dataclass(frozen=True, slots=True)
class Pending:
    """A message that a webhook has not taken yet, and how often that was tried."""

    message_id: str
    cause: Cause
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


@dataclass
class State:
    """Folded in place. Samples are kept for as long as the growth rule looks back."""

    TYPES: ClassVar[frozenset[str]] = types(
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

    keep_s: float = field(default=2100.0, metadata={"stored": False})
    position: int = 0
    leader: str = ""
    nodes: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    offline: dict[str, Since[node.NodeWentOffline]] = field(default_factory=dict)
    floors: dict[str, Since[model.ModelFloorUnmet]] = field(default_factory=dict)
    unreachable: dict[str, Since[queue.QueueUnreachable]] = field(default_factory=dict)
    quarantined: dict[str, Since[gpu.GpuQuarantined]] = field(default_factory=dict)
    silence: Since[node.FleetSilenceSuspected] | None = None
    samples: dict[str, deque[tuple[datetime, int]]] = field(default_factory=dict)
    sampled_by: dict[str, Cause] = field(default_factory=dict)
    over_by: dict[tuple[str, str], Cause] = field(default_factory=dict)  # by rule and subject
    open: dict[tuple[str, str], alert.AlertRaised] = field(default_factory=dict)
    webhooks: dict[str, Webhook] = field(default_factory=dict)
    outbox: dict[tuple[str, str], Pending] = field(default_factory=dict)

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        self.position = recorded.position
        _fold(read(recorded), self, recorded)

    def post(self, event: alert.AlertRaised | alert.AlertResolved, recorded: Recorded) -> None:
        """Put a message for every webhook of this moment into the outbox."""
        for webhook_id in self.webhooks:
            pending = Pending(
                message_id=recorded.event_id,
                cause=Cause.of(recorded),
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


def _over(known: dict[str, Since[E]], rule: str, subject: str, state: State, by: Recorded) -> None:
    """End what holds of a subject, and keep what ended it until the alert about it is resolved."""
    if known.pop(subject, None) is not None:
        state.over_by[rule, subject] = Cause.of(by)


def _since(event: E, recorded: Recorded) -> Since[E]:
    return Since(event, recorded.recorded_at, Cause.of(recorded))


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
    state.over_by.pop((event.rule, event.subject), None)
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
def _no_node(event: node.NodeDeleted, state: State, recorded: Recorded) -> None:
    state.nodes.pop(event.node_id, None)
    _over(state.offline, "node_offline", event.node_id, state, recorded)


@_fold.register(node.NodeWentOffline)
def _offline(event: node.NodeWentOffline, state: State, recorded: Recorded) -> None:
    state.offline[event.node_id] = _since(event, recorded)


@_fold.register(node.NodeCameOnline)
def _online(event: node.NodeCameOnline, state: State, recorded: Recorded) -> None:
    _over(state.offline, "node_offline", event.node_id, state, recorded)


@_fold.register(node.FleetSilenceSuspected)
def _silent(event: node.FleetSilenceSuspected, state: State, recorded: Recorded) -> None:
    state.silence = _since(event, recorded)


@_fold.register(node.FleetSilenceCleared)
def _heard(_event: node.FleetSilenceCleared, state: State, recorded: Recorded) -> None:
    state.silence = None
    state.over_by["fleet_silence", "fleet"] = Cause.of(recorded)


@_fold.register(gpu.GpuQuarantined)
def _quarantined(event: gpu.GpuQuarantined, state: State, recorded: Recorded) -> None:
    state.quarantined[event.gpu_uuid] = _since(event, recorded)


@_fold.register(gpu.GpuReleased)
def _released(event: gpu.GpuReleased, state: State, recorded: Recorded) -> None:
    _over(state.quarantined, "gpu_quarantined", event.gpu_uuid, state, recorded)


# Models and their queues.


@_fold.register(model.ModelRegistered)
@_fold.register(model.ModelUpdated)
def _model(
    event: model.ModelRegistered | model.ModelUpdated, state: State, _recorded: Recorded
) -> None:
    state.models[event.model_id] = event.name


@_fold.register(model.ModelDeleted)
def _no_model(event: model.ModelDeleted, state: State, recorded: Recorded) -> None:
    model_id = event.model_id
    state.models.pop(model_id, None)
    _over(state.floors, "model_floor", model_id, state, recorded)
    _over(state.unreachable, "queue_unreachable", model_id, state, recorded)
    state.samples.pop(model_id, None)
    if state.sampled_by.pop(model_id, None) is not None:
        state.over_by["queue_growth", model_id] = Cause.of(recorded)


@_fold.register(model.ModelFloorUnmet)
def _floor_unmet(event: model.ModelFloorUnmet, state: State, recorded: Recorded) -> None:
    known = state.floors.get(event.model_id)
    now = _since(event, recorded)
    # Another reason for the same want of instances is the same alert.
    state.floors[event.model_id] = now if known is None else replace(known, event=event)


@_fold.register(model.ModelFloorMet)
def _floor_met(event: model.ModelFloorMet, state: State, recorded: Recorded) -> None:
    _over(state.floors, "model_floor", event.model_id, state, recorded)


@_fold.register(queue.QueueSampled)
def _sampled(event: queue.QueueSampled, state: State, recorded: Recorded) -> None:
    if event.model_id not in state.models:
        return
    samples = state.samples.setdefault(event.model_id, deque())
    samples.append((recorded.recorded_at, event.length))
    state.sampled_by[event.model_id] = Cause.of(recorded)
    while samples[0][0] < recorded.recorded_at - timedelta(seconds=state.keep_s):
        samples.popleft()


@_fold.register(queue.QueueUnreachable)
def _unreachable(event: queue.QueueUnreachable, state: State, recorded: Recorded) -> None:
    state.unreachable[event.model_id] = _since(event, recorded)


@_fold.register(queue.QueueRecovered)
def _recovered(event: queue.QueueRecovered, state: State, recorded: Recorded) -> None:
    _over(state.unreachable, "queue_unreachable", event.model_id, state, recorded)

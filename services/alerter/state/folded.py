"""What wakes someone, which alerts are open, and which messages have not reached their webhook."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import singledispatch
from typing import ClassVar

from contracts.alerts import RULES
from contracts.catalogue import read, types
from contracts.envelope import Cause, Event, Recorded
from contracts.events import alert, control, gpu, instance, model, node, queue
from contracts.events.alert import MessageType
from services.alerter.state.values import Key, Opened, Over, Pending, Silence, Since, Webhook

Raised = alert.AlertRaised | alert.AlertResolved


@dataclass
class State:
    """Folded in place. Samples are kept for as long as the growth rule looks back.

    closed: where an alert was resolved though nothing ended what it told of, such as by switching
    its rule off; the next one about the same is another alert.
    """

    TYPES: ClassVar[frozenset[str]] = types(
        (
            alert.AlertRaised,
            alert.AlertResolved,
            alert.AlertDelivered,
            alert.AlertDeliveryFailed,
            alert.WebhookRegistered,
            alert.WebhookDeleted,
            alert.WebhookTestAsked,
            alert.WebhookResendAsked,
            alert.AlertRuleConfigured,
            alert.SilenceBegun,
            alert.SilenceLifted,
            control.LeaseAcquired,
            gpu.GpuAllocated,
            gpu.GpuFreed,
            gpu.GpuQuarantined,
            gpu.GpuReleased,
            instance.InstanceStartRequested,
            instance.InstanceStarted,
            instance.InstanceStopRequested,
            instance.InstanceStartFailed,
            instance.InstanceStopped,
            instance.InstanceDied,
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
    starting: dict[str, Since[instance.InstanceStartRequested]] = field(default_factory=dict)
    stopping: dict[str, Since[instance.InstanceStopRequested]] = field(default_factory=dict)
    held: dict[str, str] = field(default_factory=dict)  # the node of each GPU that is in use
    silence: Since[node.FleetSilenceSuspected] | None = None
    samples: dict[str, deque[tuple[datetime, int]]] = field(default_factory=dict)
    sampled_by: dict[str, Cause] = field(default_factory=dict)
    over: dict[Key, Over] = field(default_factory=dict)
    open: dict[Key, Opened] = field(default_factory=dict)
    closed: dict[Key, int] = field(default_factory=dict)
    rules: dict[str, alert.AlertRuleConfigured] = field(default_factory=dict)
    silences: dict[str, Silence] = field(default_factory=dict)
    webhooks: dict[str, Webhook] = field(default_factory=dict)
    outbox: dict[tuple[str, str], Pending] = field(default_factory=dict)

    def apply(self, recorded: Recorded) -> None:
        """Fold one event."""
        self.position = recorded.position
        fold(read(recorded), self, recorded)

    def limit(self, rule: str, name: str) -> float:
        """Return what a rule goes by at this position."""
        configured = self.rules.get(rule)
        default = RULES[rule].limits[name].default
        return configured.limits.get(name, default) if configured else default

    def is_enabled(self, rule: str) -> bool:
        """Return whether a rule raises alerts."""
        configured = self.rules.get(rule)
        return configured is None or configured.enabled

    def is_silenced(self, key: Key | None, at: datetime) -> bool:
        """Return whether nobody is to be told of such an alert at a moment."""
        return key is not None and any(each.covers(key, at) for each in self.silences.values())

    def post(self, event: Raised, opened: Opened, recorded: Recorded) -> None:
        """Put a message for every webhook of this moment into the outbox."""
        type_: MessageType = (
            "alert.raised" if isinstance(event, alert.AlertRaised) else "alert.resolved"
        )
        for webhook_id in self.webhooks:
            pending = Pending(
                message_id=recorded.event_id,
                cause=Cause.of(recorded),
                webhook_id=webhook_id,
                alert_id=event.alert_id,
                subject=event.subject,
                type=type_,
                at=recorded.recorded_at,
                data=recorded.data,
                about=opened,
            )
            self.outbox[pending.key] = pending

    def untold(self, alert_id: str, at: datetime) -> Iterator[tuple[str, str]]:
        """Return the messages of an alert that a silence held back, so that nobody knows of it."""
        for key, pending in self.outbox.items():
            is_new = pending.alert_id == alert_id and not pending.failures
            if is_new and self.is_silenced(pending.of, at):
                yield key

    def disconnect(self, webhook_id: str) -> None:
        """Forget a webhook and all that waits for it."""
        self.webhooks.pop(webhook_id, None)
        for key in [key for key in self.outbox if key[1] == webhook_id]:
            del self.outbox[key]


@singledispatch
def fold(event: Event, _state: State, _recorded: Recorded) -> None:
    """Fold one event into the state."""
    raise TypeError(f"the alerter does not fold {event.type}")

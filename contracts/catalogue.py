"""EVENT CATALOGUE: type and version, its class, how long it is kept, and who may propose it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from contracts.events import (
    account,
    alert,
    control,
    environment,
    gpu,
    instance,
    log,
    model,
    node,
    queue,
    strategy,
)
from contracts.upcast import upcast

if TYPE_CHECKING:
    from collections.abc import Iterable

    from contracts.envelope import Event, Recorded

Retention = Literal["fact", "telemetry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One event type.

    by: services that may propose it. lease: the leadership whose epoch it must carry, if any.
    """

    event: type[Event]
    retention: Retention
    by: frozenset[str]
    lease: str | None = None


def _fact(event: type[Event], *by: str, lease: str | None = None) -> Entry:
    return Entry(event, "fact", frozenset(by), lease)


def _telemetry(event: type[Event], *by: str) -> Entry:
    return Entry(event, "telemetry", frozenset(by))


LEADERS = ("scheduler", "node_monitor", "queue_sampler", "deployer", "alerter")

_ENTRIES = (
    _fact(environment.EnvironmentCreated, "gateway"),
    _fact(environment.EnvironmentUpdated, "gateway"),
    _fact(environment.EnvironmentJoined, "gateway"),
    _fact(environment.EnvironmentDeleted, "gateway"),
    _fact(model.ModelRegistered, "gateway"),
    _fact(model.ModelUpdated, "gateway"),
    _fact(model.ModelDeleted, "gateway"),
    _fact(model.ModelFloorUnmet, "scheduler", lease="scheduler"),
    _fact(model.ModelFloorMet, "scheduler", lease="scheduler"),
    _fact(model.ModelDeferred, "scheduler", lease="scheduler"),
    _fact(node.NodeRegistered, "gateway"),
    _fact(node.NodeUpdated, "gateway"),
    _fact(node.NodeDeleted, "gateway"),
    _telemetry(node.NodeReported, "node_monitor"),
    _telemetry(node.NodeHeartbeat, "gateway"),
    _fact(node.NodeInventoryChanged, "node_monitor", lease="node_monitor"),
    _fact(node.NodeWentOffline, "node_monitor", lease="node_monitor"),
    _fact(node.NodeCameOnline, "node_monitor", lease="node_monitor"),
    _fact(node.FleetSilenceSuspected, "node_monitor", lease="node_monitor"),
    _fact(node.FleetSilenceCleared, "node_monitor", lease="node_monitor"),
    _fact(node.ProcessKillAsked, "gateway"),
    _fact(node.ProcessKilled, "deployer", lease="deployer"),
    _fact(node.ProcessKillFailed, "deployer", lease="deployer"),
    _fact(gpu.GpuAllocated, "scheduler", lease="scheduler"),
    _fact(gpu.GpuFreed, "scheduler", lease="scheduler"),
    _fact(gpu.GpuQuarantined, "scheduler", lease="scheduler"),
    _fact(gpu.GpuReleased, "scheduler", lease="scheduler"),
    _fact(instance.InstanceStartAsked, "gateway"),
    _fact(instance.InstanceStartRefused, "scheduler", lease="scheduler"),
    _fact(instance.InstanceStartRequested, "scheduler", lease="scheduler"),
    _fact(instance.InstanceStarted, "deployer", lease="deployer"),
    _fact(instance.InstanceStartFailed, "deployer", lease="deployer"),
    _fact(instance.InstanceStopAsked, "gateway"),
    _fact(instance.InstanceStopRequested, "scheduler", lease="scheduler"),
    _fact(instance.InstanceStopped, "deployer", lease="deployer"),
    _fact(instance.InstanceDied, "node_monitor", lease="node_monitor"),
    _telemetry(queue.QueueSampled, "queue_sampler"),
    _fact(queue.QueueUnreachable, "queue_sampler", lease="queue_sampler"),
    _fact(queue.QueueRecovered, "queue_sampler", lease="queue_sampler"),
    _fact(strategy.StrategyCreated, "gateway"),
    _fact(strategy.StrategyConfigured, "gateway"),
    _fact(strategy.StrategyActivated, "gateway"),
    _fact(strategy.StrategyDeactivated, "gateway"),
    _fact(strategy.StrategyDeleted, "gateway"),
    _fact(alert.AlertRaised, "alerter", lease="alerter"),
    _fact(alert.AlertResolved, "alerter", lease="alerter"),
    _fact(alert.AlertDelivered, "alerter", lease="alerter"),
    _fact(alert.AlertDeliveryFailed, "alerter", lease="alerter"),
    _fact(alert.WebhookRegistered, "gateway"),
    _fact(alert.WebhookDeleted, "gateway"),
    _fact(alert.WebhookTestAsked, "gateway"),
    _fact(alert.WebhookResendAsked, "gateway"),
    _fact(alert.AlertRuleConfigured, "gateway"),
    _fact(alert.SilenceBegun, "gateway"),
    _fact(alert.SilenceLifted, "gateway"),
    _fact(account.AccountRegistered, "gateway"),
    _fact(account.AccountRoleChanged, "gateway"),
    _fact(account.AccountPasswordChanged, "gateway"),
    _fact(account.AccountClosed, "gateway"),
    _fact(account.KeyCreated, "gateway"),
    _fact(account.KeyRevoked, "gateway"),
    _fact(control.LeaseAcquired, *LEADERS),
    _fact(control.NameClaimed, "gateway"),
    _fact(control.NameReleased, "gateway"),
    _fact(control.SecretRotated, "vault", "gateway"),
    _fact(control.FoldSkipped, "gateway"),
    _fact(control.RebuildAsked, "gateway"),
    _fact(control.ParkedRetried, "journal"),
    _fact(control.ParkedDropped, "journal"),
    _fact(log.LogPartitionSealed, "journal"),
)

CATALOGUE: dict[tuple[str, int], Entry] = {
    (entry.event.type, entry.event.schema_version): entry for entry in _ENTRIES
}
TELEMETRY_TYPES = frozenset(e.event.type for e in _ENTRIES if e.retention == "telemetry")
# Telemetry is forgotten one day: its streams are never those of facts.
TELEMETRY_STREAMS = frozenset({"node-reports", "queue-samples"})


class UnknownType(ValueError):
    """No event of this type and schema version is in the catalogue."""


def entry_of(type_: str, schema_version: int) -> Entry:
    """Return the catalogue's entry; raises UnknownType."""
    try:
        return CATALOGUE[type_, schema_version]
    except KeyError:
        message = f"{type_} version {schema_version} is not in the catalogue"
        raise UnknownType(message) from None


def read(recorded: Recorded) -> Event:
    """Return the payload as today's class; raises UnknownType or ValidationError."""
    version, data = upcast(recorded.type, recorded.schema_version, recorded.data)
    return entry_of(recorded.type, version).event.model_validate(data)


def types(events: Iterable[type[Event]]) -> frozenset[str]:
    """Return the type names of these event classes."""
    return frozenset(event.type for event in events)

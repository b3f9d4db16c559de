"""What the gateway knows: the catalogue, accounts, who owns which name, and what runs where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from contracts import catalogue
from contracts.events import (
    account,
    alert,
    control,
    environment,
    instance,
    model,
    node,
    strategy,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.envelope import Recorded

Kind = Literal[
    "environment",
    "model",
    "node",
    "strategy",
    "webhook",
    "account",
    "key",
    "silence",
    "alert_rule",
]
Subject = tuple[Kind, str]

_PUT = {
    environment.EnvironmentCreated.type,
    environment.EnvironmentUpdated.type,
    model.ModelRegistered.type,
    model.ModelUpdated.type,
    node.NodeRegistered.type,
    node.NodeUpdated.type,
    strategy.StrategyCreated.type,
    strategy.StrategyConfigured.type,
    alert.WebhookRegistered.type,
    alert.AlertRuleConfigured.type,
    account.AccountRegistered.type,
    account.AccountRoleChanged.type,
    account.AccountPasswordChanged.type,
    account.KeyCreated.type,
}
_GONE = {
    environment.EnvironmentDeleted.type,
    model.ModelDeleted.type,
    node.NodeDeleted.type,
    strategy.StrategyDeleted.type,
    alert.WebhookDeleted.type,
    alert.SilenceLifted.type,
    account.AccountClosed.type,
    account.KeyRevoked.type,
}
_SWITCHED = {
    strategy.StrategyActivated.type: True,
    strategy.StrategyDeactivated.type: False,
}
_ENDED = {
    instance.InstanceStartFailed.type,
    instance.InstanceStopped.type,
    instance.InstanceDied.type,
}
# On the streams we write to, but no change of what people said: their versions count.
_BESIDE = catalogue.types(
    (
        environment.EnvironmentJoined,
        node.NodeInventoryChanged,
        node.NodeWentOffline,
        node.NodeCameOnline,
    )
)


@dataclass(frozen=True, slots=True)
class Entity:
    """A thing of the catalogue, as its events had it."""

    data: Mapping[str, Any]
    version: int
    position: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Instance:
    """A worker that was wanted and is not known to have ended."""

    instance_id: str
    model_id: str
    model_name: str
    node_id: str
    gpu_index: int


@dataclass
class State:
    """The catalogue as the log tells it, folded in place."""

    TYPES: ClassVar[frozenset[str]]

    entities: dict[Kind, dict[str, Entity]] = field(
        default_factory=lambda: {
            "environment": {},
            "model": {},
            "node": {},
            "strategy": {},
            "webhook": {},
            "account": {},
            "key": {},
            "silence": {},
            "alert_rule": {},
        }
    )
    owners: dict[str, str] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    changed_at: dict[str, int] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)
    gpu_indices: dict[str, frozenset[int]] = field(default_factory=dict)

    def apply(self, event: Recorded) -> None:
        """Fold one event; types that are not ours change nothing."""
        fold = _FOLDS.get(event.type)
        if fold is not None:
            fold(self, event)

    def find(self, kind: Kind, id_: str) -> Entity | None:
        """Return a thing by its id."""
        return self.entities[kind].get(id_)

    def version_of(self, stream: str) -> int:
        """Return a stream's version; 0 for one that is new."""
        return self.versions.get(stream, 0)

    def within(self, kind: Kind, environment_id: str) -> list[str]:
        """Return the ids of an environment's models or nodes."""
        found = self.entities[kind].items()
        return [id_ for id_, each in found if each.data["environment_id"] == environment_id]

    def on_node(self, node_id: str) -> list[Instance]:
        """Return what runs on a node or is about to."""
        return [each for each in self.instances.values() if each.node_id == node_id]


def stream_of(kind: str, id_: str) -> str:
    """Return the stream of a thing."""
    return f"{kind}/{id_}"


def _seen(state: State, event: Recorded) -> None:
    state.versions[event.stream] = event.version
    state.changed_at[event.stream] = event.position


def _place(event: Recorded) -> tuple[Kind, str]:
    kind = _KINDS[event.type]
    return kind, event.data["rule" if kind == "alert_rule" else f"{kind}_id"]


def _put(state: State, event: Recorded) -> None:
    kind, id_ = _place(event)
    known = state.entities[kind].get(id_)
    kept = known.data if known is not None else {}
    state.entities[kind][id_] = Entity(
        data={**kept, **event.data},
        version=event.version,
        position=event.position,
        created_at=known.created_at if known is not None else event.recorded_at,
        updated_at=event.recorded_at,
    )
    _seen(state, event)


def _gone(state: State, event: Recorded) -> None:
    kind, id_ = _place(event)
    state.entities[kind].pop(id_, None)
    if kind == "node":
        state.gpu_indices.pop(id_, None)
    _seen(state, event)


def _silenced(state: State, event: Recorded) -> None:
    """Keep a silence, and forget those that are over by now."""
    silences = state.entities["silence"]
    over = [
        id_
        for id_, each in silences.items()
        if datetime.fromisoformat(each.data["until"]) <= event.recorded_at
    ]
    for id_ in over:
        del silences[id_]
    _put(state, event)


def _switched(state: State, event: Recorded) -> None:
    known = state.entities["strategy"].get(event.data["strategy_id"])
    if known is not None:
        state.entities["strategy"][event.data["strategy_id"]] = Entity(
            data={**known.data, "active": _SWITCHED[event.type]},
            version=event.version,
            position=event.position,
            created_at=known.created_at,
            updated_at=event.recorded_at,
        )
    _seen(state, event)


def _beside(state: State, event: Recorded) -> None:
    """News of a node, or who moved in: the version moves, what people said of it does not."""
    state.versions[event.stream] = event.version
    if event.type == node.NodeInventoryChanged.type:
        indices = frozenset(gpu["index"] for gpu in event.data["gpus"])
        state.gpu_indices[event.data["node_id"]] = indices


def _claimed(state: State, event: Recorded) -> None:
    state.owners[event.stream] = event.data["owner"]
    _seen(state, event)


def _released(state: State, event: Recorded) -> None:
    state.owners.pop(event.stream, None)
    _seen(state, event)


def _wanted(state: State, event: Recorded) -> None:
    data = event.data
    state.instances[data["instance_id"]] = Instance(
        data["instance_id"],
        data["model_id"],
        data["model_name"],
        data["node_id"],
        data["gpu_index"],
    )


def _ended(state: State, event: Recorded) -> None:
    state.instances.pop(event.data["instance_id"], None)


_KINDS: dict[str, Kind] = {
    type_: kind
    for kind in get_args(Kind)
    for type_ in _PUT | _GONE | {alert.SilenceBegun.type}
    if type_.partition(".")[0] == kind
}
_FOLDS: dict[str, Callable[[State, Recorded], None]] = {
    **dict.fromkeys(_PUT, _put),
    **dict.fromkeys(_GONE, _gone),
    **dict.fromkeys(_SWITCHED, _switched),
    **dict.fromkeys(_ENDED, _ended),
    **dict.fromkeys(_BESIDE, _beside),
    alert.SilenceBegun.type: _silenced,
    control.NameClaimed.type: _claimed,
    control.NameReleased.type: _released,
    instance.InstanceStartRequested.type: _wanted,
}
State.TYPES = frozenset(_FOLDS)

"""What no history may show: a GPU given twice, freed while in use, a decision of who led before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from contracts.events.control import LeaseAcquired
from contracts.events.gpu import GpuAllocated, GpuFreed, GpuQuarantined, GpuReleased
from contracts.events.instance import (
    InstanceDied,
    InstanceStarted,
    InstanceStartFailed,
    InstanceStartRequested,
    InstanceStopped,
    InstanceStopRequested,
)
from contracts.events.node import NodeInventoryChanged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


Found = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that a history breaks: its name, the position where, and how."""

    invariant: str
    position: int
    detail: str


@dataclass
class Invariants:
    """Folds facts and tells what each of them breaks; positions and chains are verify's own.

    holders: {gpu: instance}. places: {gpu: node} as inventories told. requested: {instance: gpu}.
    ended: instances whose end is recorded. epochs: {lease: the newest}.
    """

    holders: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    quarantined: set[str] = field(default_factory=set)
    requested: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    epochs: dict[str, int] = field(default_factory=dict)

    def apply(self, row: Any) -> list[Violation]:
        """Fold one stored row; return what it breaks."""
        if row["telemetry"] is not None:
            return []
        found = self._outdated(row["type"], orjson.loads(row["meta"]))
        check = _CHECKS.get(row["type"])
        if check is not None:
            found += check(self, orjson.loads(row["data"]))
        return [Violation(name, row["position"], detail) for name, detail in found]

    def _outdated(self, type_: str, meta: Mapping[str, Any]) -> Found:
        """L5: what carries an epoch carries the newest of its lease."""
        lease, epoch = meta.get("lease"), meta.get("epoch")
        if lease is None or epoch == self.epochs.get(lease):
            return []
        return [("L5", f"{type_} of epoch {epoch} of {lease}, in {self.epochs.get(lease)}")]


def _leads(state: Invariants, data: Mapping[str, Any]) -> Found:
    before, name = state.epochs.get(data["name"], 0), data["name"]
    state.epochs[name] = data["epoch"]
    if data["epoch"] == before + 1:
        return []
    return [("L5", f"the epoch of {name} goes from {before} to {data['epoch']}")]


def _inventory(state: Invariants, data: Mapping[str, Any]) -> Found:
    for gpu in data["gpus"]:
        state.places[gpu["uuid"]] = data["node_id"]
    return []


def _allocated(state: Invariants, data: Mapping[str, Any]) -> Found:
    """G1: nobody else holds it. G4: it is where the allocation says, and fit for use."""
    gpu, found = data["gpu_uuid"], []
    if gpu in state.holders:
        found.append(
            ("G1", f"{gpu} is given to {data['instance_id']}, {state.holders[gpu]} has it")
        )
    if state.places.get(gpu) != data["node_id"]:
        found.append(("G4", f"{gpu} is not known on {data['node_id']}"))
    if gpu in state.quarantined:
        found.append(("G4", f"{gpu} is in quarantine and given to {data['instance_id']}"))
    state.holders[gpu] = data["instance_id"]
    return found


def _freed(state: Invariants, data: Mapping[str, Any]) -> Found:
    """G3: only by the holder, and only after its end was recorded."""
    gpu, instance, found = data["gpu_uuid"], data["instance_id"], []
    holder = state.holders.pop(gpu, None)
    if holder != instance:
        found.append(("G3", f"{gpu} is freed of {instance}, and {holder} has it"))
    if instance not in state.ended:
        found.append(("G3", f"{gpu} is freed while {instance} is not known to have ended"))
    return found


def _quarantined(state: Invariants, data: Mapping[str, Any]) -> Found:
    state.quarantined.add(data["gpu_uuid"])
    return []


def _released(state: Invariants, data: Mapping[str, Any]) -> Found:
    state.quarantined.discard(data["gpu_uuid"])
    return []


def _requested(state: Invariants, data: Mapping[str, Any]) -> Found:
    """G1: an instance is started once, on the GPU that it was given."""
    instance, gpu, found = data["instance_id"], data["gpu_uuid"], []
    if instance in state.requested:
        found.append(("G1", f"{instance} is started twice"))
    if state.holders.get(gpu) != instance:
        found.append(("G1", f"{instance} is started on {gpu}, {state.holders.get(gpu)} has it"))
    state.requested[instance] = gpu
    return found


def _of_a_known_one(state: Invariants, data: Mapping[str, Any]) -> Found:
    """I1: nothing is said of an instance that nobody asked for, or on another GPU."""
    instance, gpu = data["instance_id"], data["gpu_uuid"]
    asked = state.requested.get(instance)
    if asked == gpu:
        return []
    return [("I1", f"{instance} is told of on {gpu}, it was asked for on {asked}")]


def _ended(state: Invariants, data: Mapping[str, Any]) -> Found:
    state.ended.add(data["instance_id"])
    return _of_a_known_one(state, data)


_CHECKS: dict[str, Callable[[Invariants, Mapping[str, Any]], Found]] = {
    LeaseAcquired.type: _leads,
    NodeInventoryChanged.type: _inventory,
    GpuAllocated.type: _allocated,
    GpuFreed.type: _freed,
    GpuQuarantined.type: _quarantined,
    GpuReleased.type: _released,
    InstanceStartRequested.type: _requested,
    InstanceStarted.type: _of_a_known_one,
    InstanceStopRequested.type: _of_a_known_one,
    InstanceStopped.type: _ended,
    InstanceStartFailed.type: _ended,
    InstanceDied.type: _ended,
}

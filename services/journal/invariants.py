"""What no history may show: a GPU given twice, freed while in use, a decision of who led before."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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

    from contracts.envelope import Recorded


@dataclass(frozen=True, slots=True)
class Violation:
    """A promise that a history breaks: its name, the position where, and how."""

    invariant: str
    position: int
    detail: str


@dataclass
class Invariants:
    """Folds facts and tells what each of them breaks; positions and chains are verify's own.

    holders: {gpu: instance}. places: {gpu: node} as inventories told. ended: instances whose end
    is recorded. epochs: {lease: the newest}.
    """

    holders: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    quarantined: set[str] = field(default_factory=set)
    requested: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    epochs: dict[str, int] = field(default_factory=dict)
    streams: dict[str, int] = field(default_factory=dict)
    ids: set[str] = field(default_factory=set)

    def apply(self, event: Recorded) -> list[Violation]:
        """Fold one event; return what it breaks."""
        found = [*self._of_the_log(event)]
        check = _CHECKS.get(event.type)
        if check is not None:
            found += [
                Violation(name, event.position, detail) for name, detail in check(self, event.data)
            ]
        return found

    def _of_the_log(self, event: Recorded) -> list[Violation]:
        """L2: dense streams, ids once. L5: what carries an epoch carries the newest."""
        found = []
        version = self.streams.get(event.stream, 0) + 1
        if event.version != version:
            detail = f"{event.stream} is at {version - 1} and goes on with {event.version}"
            found.append(Violation("L2", event.position, detail))
        self.streams[event.stream] = event.version
        if event.event_id in self.ids:
            found.append(Violation("L2", event.position, f"{event.event_id} comes twice"))
        self.ids.add(event.event_id)
        lease, epoch = event.meta.lease, event.meta.epoch
        if lease is not None and epoch != self.epochs.get(lease):
            detail = f"{event.type} of epoch {epoch} of {lease}, in {self.epochs.get(lease)}"
            found.append(Violation("L5", event.position, detail))
        return found


Found = list[tuple[str, str]]


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

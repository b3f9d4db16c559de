"""How events about GPUs and instances change what the scheduler knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contracts.envelope import Cause
from contracts.events import gpu as g
from contracts.events import instance as i
from services.scheduler.state.entities import STABLE_S, Ask, Instance

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.envelope import Recorded
    from contracts.events.gpu import FreedBecause
    from services.scheduler.state.fleet import Fleet

FREED_AFTER: dict[str, FreedBecause] = {
    "exited": "died",
    "lost": "died",
    "rebooted": "rebooted",
    "lease_ended": "lease_ended",
}


def _on_allocated(fleet: Fleet, event: g.GpuAllocated, recorded: Recorded) -> None:
    fleet.node(event.node_id)
    gpu = fleet.gpu(event.gpu_uuid, event.node_id)
    gpu.version, gpu.held_by = recorded.version, event.instance_id
    fleet.reclassify(gpu)


def _on_freed(fleet: Fleet, event: g.GpuFreed, recorded: Recorded) -> None:
    fleet.node(event.node_id)
    gpu = fleet.gpu(event.gpu_uuid, event.node_id)
    gpu.version, gpu.held_by = recorded.version, None
    fleet.bury(event.instance_id)
    fleet.reclassify(gpu)


def _on_quarantine(
    fleet: Fleet, event: g.GpuQuarantined | g.GpuReleased, recorded: Recorded
) -> None:
    fleet.node(event.node_id)
    gpu = fleet.gpu(event.gpu_uuid, event.node_id)
    gpu.version, gpu.quarantined = recorded.version, isinstance(event, g.GpuQuarantined)
    fleet.reclassify(gpu)


def _on_start_asked(fleet: Fleet, event: i.InstanceStartAsked, recorded: Recorded) -> None:
    fleet.asks[event.ask_id] = Ask(
        event.ask_id,
        event.model_id,
        event.node_id,
        event.gpu_index,
        dict(event.config),
        Cause.of(recorded),
    )


def _on_start_refused(fleet: Fleet, event: i.InstanceStartRefused, _: Recorded) -> None:
    fleet.asks.pop(event.ask_id, None)


def _on_start_requested(fleet: Fleet, event: i.InstanceStartRequested, recorded: Recorded) -> None:
    fleet.asks.pop(event.ask_id or "", None)
    fleet.add(
        Instance(
            event.instance_id,
            event.model_id,
            event.node_id,
            event.gpu_uuid,
            requested_s=fleet.at_s,
            pinned=event.pinned,
        ),
        Cause.of(recorded),
    )


def _on_started(fleet: Fleet, event: i.InstanceStarted, recorded: Recorded) -> None:
    instance = fleet.instances.get(event.instance_id)
    if instance is not None and instance.phase == "requested" and instance.ended is None:
        instance.ready_s = fleet.at_s
        fleet.turn(instance, "ready")
        if (model := fleet.models.get(instance.model_id)) is not None:
            model.served_by = Cause.of(recorded)


def _on_stop_asked(fleet: Fleet, event: i.InstanceStopAsked, recorded: Recorded) -> None:
    instance = fleet.instances.get(event.instance_id)
    if instance is not None and instance.phase != "stopping" and instance.ended is None:
        fleet.stop_asks[event.instance_id] = Cause.of(recorded)


def _on_stop_requested(fleet: Fleet, event: i.InstanceStopRequested, recorded: Recorded) -> None:
    fleet.leaving.pop(event.instance_id, None)
    fleet.stop_asks.pop(event.instance_id, None)
    instance = fleet.instances.get(event.instance_id)
    if instance is None:
        return
    instance.stopping_s, instance.replaced_by = fleet.at_s, event.replaced_by
    fleet.turn(instance, "stopping")
    fleet.shorten(instance.model_id, Cause.of(recorded))
    taker = fleet.models.get(event.replaced_by or "")
    if taker is not None:
        taker.waits_for_gpu = instance.gpu_uuid


def _on_start_failed(fleet: Fleet, event: i.InstanceStartFailed, recorded: Recorded) -> None:
    instance = fleet.instances.get(event.instance_id)
    if instance is None or instance.ended is not None:
        return
    if instance.phase != "stopping":
        fleet.blame(instance, event.code)
    fleet.end(instance, "start_failed", Cause.of(recorded))


def _on_stopped(fleet: Fleet, event: i.InstanceStopped, recorded: Recorded) -> None:
    instance = fleet.instances.get(event.instance_id)
    if instance is not None and instance.ended is None:
        fleet.end(instance, "stopped", Cause.of(recorded))


def _on_died(fleet: Fleet, event: i.InstanceDied, recorded: Recorded) -> None:
    instance = fleet.instances.get(event.instance_id)
    if instance is None or instance.ended is not None:
        return
    model = fleet.models.get(instance.model_id)
    stable = instance.ready_s is not None and fleet.at_s - instance.ready_s >= STABLE_S
    if model is not None and stable:
        model.failures, model.failures_at = None, {}
    if event.because == "exited" and instance.phase != "stopping":
        fleet.blame(instance, "exited")
    fleet.end(instance, FREED_AFTER[event.because], Cause.of(recorded))


INSTANCES: dict[str, Callable[[Fleet, Any, Recorded], None]] = {
    g.GpuAllocated.type: _on_allocated,
    g.GpuFreed.type: _on_freed,
    g.GpuQuarantined.type: _on_quarantine,
    g.GpuReleased.type: _on_quarantine,
    i.InstanceStartAsked.type: _on_start_asked,
    i.InstanceStartRefused.type: _on_start_refused,
    i.InstanceStartRequested.type: _on_start_requested,
    i.InstanceStarted.type: _on_started,
    i.InstanceStopAsked.type: _on_stop_asked,
    i.InstanceStopRequested.type: _on_stop_requested,
    i.InstanceStartFailed.type: _on_start_failed,
    i.InstanceStopped.type: _on_stopped,
    i.InstanceDied.type: _on_died,
}

"""How events about nodes change what the scheduler knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contracts.envelope import Cause
from contracts.events import node as n

if TYPE_CHECKING:
    from collections.abc import Callable

    from contracts.envelope import Recorded
    from contracts.types import Gpu as GpuSeen
    from contracts.types import GpuUse
    from services.scheduler.state.entities import Gpu, Node
    from services.scheduler.state.fleet import Fleet

RUNNING = ("starting", "ready", "stopping")


def _on_node(fleet: Fleet, event: n.NodeRegistered | n.NodeUpdated, _: Recorded) -> None:
    node = fleet.node(event.node_id)
    node.name, node.offered = event.name, tuple(sorted(set(event.available_gpu_ids)))
    node.deleted = False
    fleet.reclassify_node(node)
    fleet.recount_node(node)


def _on_node_deleted(fleet: Fleet, event: n.NodeDeleted, recorded: Recorded) -> None:
    node = fleet.node(event.node_id)
    node.deleted, node.online = True, False
    fleet.reclassify_node(node)
    fleet.recount_node(node)
    _lost_with(fleet, node, recorded)
    for instance_id in node.instances:
        instance = fleet.instances[instance_id]
        stays = instance.ended is None and instance.phase != "stopping"
        if stays and instance_id not in fleet.leaving:
            fleet.leave(instance_id, "node_deleted", Cause.of(recorded))


def _lost_with(fleet: Fleet, node: Node, recorded: Recorded) -> None:
    """Take note of what took a node's instances out of reach of their models."""
    cause = Cause.of(recorded)
    for instance_id in node.instances:
        fleet.shorten(fleet.instances[instance_id].model_id, cause)


def _answered(fleet: Fleet, node: Node, boot_id: str) -> None:
    node.answered_s, node.boot_id = fleet.at_s, boot_id


def _on_came_online(fleet: Fleet, event: n.NodeCameOnline, _: Recorded) -> None:
    node = fleet.node(event.node_id)
    node.online = not node.deleted
    _answered(fleet, node, event.boot_id)
    fleet.reclassify_node(node)
    fleet.recount_node(node)


def _on_went_offline(fleet: Fleet, event: n.NodeWentOffline, recorded: Recorded) -> None:
    node = fleet.node(event.node_id)
    node.online = False
    for uuid in node.gpus:
        fleet.gpus[uuid].seen_boot = None  # what runs there is unknown until it reports again
    fleet.reclassify_node(node)
    fleet.recount_node(node)
    _lost_with(fleet, node, recorded)


def _on_inventory(fleet: Fleet, event: n.NodeInventoryChanged, _: Recorded) -> None:
    node = fleet.node(event.node_id)
    for uuid in list(node.gpus):
        fleet.remove_gpu(fleet.gpus[uuid])
    node.supported = tuple(sorted(set(event.supported_models)))
    node.names = dict.fromkeys(node.supported)
    _answered(fleet, node, event.boot_id)
    for seen in sorted(event.gpus, key=lambda each: (each.index, each.uuid)):
        _place(fleet, node, seen)


def _place(fleet: Fleet, node: Node, seen: GpuSeen) -> None:
    gpu = fleet.gpu(seen.uuid, node.node_id)
    if gpu.present:  # another node said it has it; the newest word counts
        fleet.remove_gpu(gpu)
    gpu.node_id, gpu.index, gpu.present = node.node_id, seen.index, True
    node.gpus[gpu.uuid] = None
    fleet.reclassify(gpu)


def _on_reported(fleet: Fleet, event: n.NodeReported, recorded: Recorded) -> None:
    node = fleet.nodes.get(event.node_id)
    if node is None:
        fleet.changes -= 1
        return
    was_silent = fleet.is_silent(node)
    node.answered_s = fleet.at_s
    running: dict[str, list[str]] = {}
    for report in event.instances:
        if report.state in RUNNING:
            running.setdefault(report.gpu_uuid, []).append(report.instance_id)
    changed, seen_by = was_silent, Cause.of(recorded)
    for use in event.gpus:
        gpu = fleet.gpus.get(use.uuid)
        if gpu is not None and gpu.present and gpu.node_id == node.node_id:
            gpu.seen_by = seen_by
            changed |= _see(fleet, gpu, event.boot_id, _foreign(gpu, use, running))
    if was_silent:
        fleet.reclassify_node(node)
    fleet.changes -= not changed


def _foreign(gpu: Gpu, use: GpuUse, running: dict[str, list[str]]) -> str:
    """Return what runs on a GPU that we have not put there, or nothing."""
    if use.foreign_pids:
        return f"process {min(use.foreign_pids)}"
    unknown = [each for each in running.get(gpu.uuid, ()) if each != gpu.held_by]
    return f"instance {min(unknown)}" if unknown else ""


def _see(fleet: Fleet, gpu: Gpu, boot_id: str, foreign: str) -> bool:
    """Take what a report shows on a GPU; return whether a decision may change by it."""
    changed = (foreign, boot_id) != (gpu.foreign, gpu.seen_boot) or gpu.foreign_reports == 1
    gpu.foreign_reports = gpu.foreign_reports + 1 if foreign else 0
    gpu.foreign, gpu.seen_boot = foreign, boot_id
    if changed:
        fleet.reclassify(gpu)
    return changed


def _on_silence_suspected(fleet: Fleet, _: n.FleetSilenceSuspected, __: Recorded) -> None:
    fleet.silence_since_s = fleet.at_s
    for node in fleet.nodes.values():
        fleet.reclassify_node(node)


def _on_silence_cleared(fleet: Fleet, _: n.FleetSilenceCleared, __: Recorded) -> None:
    fleet.silence_since_s = None
    for node in fleet.nodes.values():
        fleet.reclassify_node(node)


NODES: dict[str, Callable[[Fleet, Any, Recorded], None]] = {
    n.NodeRegistered.type: _on_node,
    n.NodeUpdated.type: _on_node,
    n.NodeDeleted.type: _on_node_deleted,
    n.NodeCameOnline.type: _on_came_online,
    n.NodeWentOffline.type: _on_went_offline,
    n.NodeInventoryChanged.type: _on_inventory,
    n.NodeReported.type: _on_reported,
    n.FleetSilenceSuspected.type: _on_silence_suspected,
    n.FleetSilenceCleared.type: _on_silence_cleared,
}

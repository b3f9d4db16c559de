"""Fold the fleet: nodes, GPUs, models and their queues, as far as they can be in trouble."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from datetime import timedelta

from contracts.envelope import Cause, Recorded
from contracts.events import gpu, model, node, queue
from services.alerter.state.folded import State, fold
from services.alerter.state.values import E, Over, Since


def _over(known: dict[str, Since[E]], rule: str, subject: str, state: State, by: Recorded) -> None:
    """End what holds of a subject, and keep what ended it until the alert about it is resolved."""
    if known.pop(subject, None) is not None:
        state.over[rule, subject] = Over(by.recorded_at, Cause.of(by))


def _since(event: E, recorded: Recorded) -> Since[E]:
    return Since(event, recorded.recorded_at, Cause.of(recorded))


# Nodes and GPUs.


@fold.register(node.NodeRegistered)
@fold.register(node.NodeUpdated)
def _node(event: node.NodeRegistered | node.NodeUpdated, state: State, _recorded: Recorded) -> None:
    state.nodes[event.node_id] = event.name


@fold.register(node.NodeDeleted)
def _no_node(event: node.NodeDeleted, state: State, recorded: Recorded) -> None:
    state.nodes.pop(event.node_id, None)
    _found(event.node_id, state, recorded)
    _over(state.offline, "node_offline", event.node_id, state, recorded)


@fold.register(node.NodeWentOffline)
def _offline(event: node.NodeWentOffline, state: State, recorded: Recorded) -> None:
    state.offline[event.node_id] = _since(event, recorded)


@fold.register(node.NodeCameOnline)
def _online(event: node.NodeCameOnline, state: State, recorded: Recorded) -> None:
    _found(event.node_id, state, recorded)
    _over(state.offline, "node_offline", event.node_id, state, recorded)


def _found(node_id: str, state: State, recorded: Recorded) -> None:
    """Note that an agent is no longer lost, if it was told to be."""
    if ("agent_lost", node_id) in state.open:
        state.over["agent_lost", node_id] = Over(recorded.recorded_at, Cause.of(recorded))


@fold.register(node.FleetSilenceSuspected)
def _silent(event: node.FleetSilenceSuspected, state: State, recorded: Recorded) -> None:
    state.silence = _since(event, recorded)


@fold.register(node.FleetSilenceCleared)
def _heard(_event: node.FleetSilenceCleared, state: State, recorded: Recorded) -> None:
    state.silence = None
    state.over["fleet_silence", "fleet"] = Over(recorded.recorded_at, Cause.of(recorded))


@fold.register(gpu.GpuAllocated)
def _allocated(event: gpu.GpuAllocated, state: State, _recorded: Recorded) -> None:
    state.held[event.gpu_uuid] = event.node_id


@fold.register(gpu.GpuFreed)
def _freed(event: gpu.GpuFreed, state: State, recorded: Recorded) -> None:
    state.held.pop(event.gpu_uuid, None)
    if event.node_id not in state.held.values():
        _found(event.node_id, state, recorded)


@fold.register(gpu.GpuQuarantined)
def _quarantined(event: gpu.GpuQuarantined, state: State, recorded: Recorded) -> None:
    state.quarantined[event.gpu_uuid] = _since(event, recorded)


@fold.register(gpu.GpuReleased)
def _released(event: gpu.GpuReleased, state: State, recorded: Recorded) -> None:
    _over(state.quarantined, "gpu_quarantined", event.gpu_uuid, state, recorded)


# Models and their queues.


@fold.register(model.ModelRegistered)
@fold.register(model.ModelUpdated)
def _model(
    event: model.ModelRegistered | model.ModelUpdated, state: State, _recorded: Recorded
) -> None:
    state.models[event.model_id] = event.name


@fold.register(model.ModelDeleted)
def _no_model(event: model.ModelDeleted, state: State, recorded: Recorded) -> None:
    model_id = event.model_id
    state.models.pop(model_id, None)
    _over(state.floors, "model_floor", model_id, state, recorded)
    _over(state.unreachable, "queue_unreachable", model_id, state, recorded)
    state.samples.pop(model_id, None)
    if state.sampled_by.pop(model_id, None) is not None:
        state.over["queue_growth", model_id] = Over(recorded.recorded_at, Cause.of(recorded))


@fold.register(model.ModelFloorUnmet)
def _floor_unmet(event: model.ModelFloorUnmet, state: State, recorded: Recorded) -> None:
    known = state.floors.get(event.model_id)
    now = _since(event, recorded)
    # Another reason for the same want of instances is the same alert.
    state.floors[event.model_id] = now if known is None else replace(known, event=event)


@fold.register(model.ModelFloorMet)
def _floor_met(event: model.ModelFloorMet, state: State, recorded: Recorded) -> None:
    _over(state.floors, "model_floor", event.model_id, state, recorded)


@fold.register(queue.QueueSampled)
def _sampled(event: queue.QueueSampled, state: State, recorded: Recorded) -> None:
    if event.model_id not in state.models:
        return
    samples = state.samples.setdefault(event.model_id, deque())
    samples.append((recorded.recorded_at, event.length))
    state.sampled_by[event.model_id] = Cause.of(recorded)
    while samples[0][0] < recorded.recorded_at - timedelta(seconds=state.keep_s):
        samples.popleft()


@fold.register(queue.QueueUnreachable)
def _unreachable(event: queue.QueueUnreachable, state: State, recorded: Recorded) -> None:
    state.unreachable[event.model_id] = _since(event, recorded)


@fold.register(queue.QueueRecovered)
def _recovered(event: queue.QueueRecovered, state: State, recorded: Recorded) -> None:
    _over(state.unreachable, "queue_unreachable", event.model_id, state, recorded)

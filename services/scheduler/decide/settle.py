"""Phase 1: what is confirmed dead no longer holds its GPU; what is unknown is quarantined."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.events.gpu import GpuFreed, GpuQuarantined, GpuReleased
from services.scheduler.state.fleet import HELD
from services.scheduler.state.room import Spot

if TYPE_CHECKING:
    from contracts.envelope import Draft
    from services.scheduler.state.entities import Gpu, Instance, Model
    from services.scheduler.state.plan import Plan


def settle(plan: Plan) -> None:
    """Free GPUs, each for the model its instance was stopped for, or for anyone."""
    for instance_id in plan.state.ended:
        instance = plan.state.instances[instance_id]
        gpu = plan.state.gpus[instance.gpu_uuid]
        if gpu.held_by == instance.instance_id:
            _free(plan, gpu, instance)
    for uuid in plan.state.suspects:
        _suspect(plan, plan.state.gpus[uuid])


def _free(plan: Plan, gpu: Gpu, instance: Instance) -> None:
    event = GpuFreed(
        gpu_uuid=gpu.uuid,
        node_id=instance.node_id,
        instance_id=instance.instance_id,
        because=instance.ended or "died",
    )
    freed = plan.on_gpu(gpu, event, instance.ended_by)
    if gpu.cause != HELD:
        plan.proposals.append((freed,))
        return
    taker = plan.state.models.get(instance.replaced_by or "")
    if taker is not None and _still_waits(plan, taker, gpu):
        _hand_over(plan, freed, gpu, instance, taker)
        return
    plan.proposals.append((freed,))
    plan.room.give_back(gpu)


def _still_waits(plan: Plan, taker: Model, gpu: Gpu) -> bool:
    supports = plan.state.nodes[gpu.node_id].supports(taker.name)
    return supports and taker.waits_for_gpu == gpu.uuid and plan.live(taker) < taker.max_instances


def _hand_over(plan: Plan, freed: Draft, gpu: Gpu, instance: Instance, taker: Model) -> None:
    """Free the GPU and give it to the model it was freed for, in one proposal."""
    numbers = {"replaced": instance.instance_id, "model_id": instance.model_id}
    reason = plan.reason("replacement_ready", numbers, (), plan.ruled_out(taker))
    spot = Spot(plan.state.nodes[gpu.node_id], gpu, 1)
    plan.start(taker, [spot], reason, freed=(freed, instance))


def _suspect(plan: Plan, gpu: Gpu) -> None:
    if gpu.quarantined:
        released = GpuReleased(
            gpu_uuid=gpu.uuid, node_id=gpu.node_id, because="its node reports it clean"
        )
        plan.proposals.append((plan.on_gpu(gpu, released, gpu.seen_by),))
        return
    quarantined = GpuQuarantined(
        gpu_uuid=gpu.uuid, node_id=gpu.node_id, because=f"its node reports {gpu.foreign} on it"
    )
    plan.proposals.append((plan.on_gpu(gpu, quarantined, gpu.seen_by),))

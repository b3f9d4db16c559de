"""Phase 3: starts and stops asked for by hand are placed, or refused with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.envelope import Draft
from contracts.events.instance import InstanceStartRefused
from services.scheduler.state.fleet import FREE
from services.scheduler.state.room import Spot

if TYPE_CHECKING:
    from services.scheduler.state.entities import Ask, Gpu, Model, Node
    from services.scheduler.state.plan import Numbers, Plan


def answer_asks(plan: Plan) -> None:
    """Answer in the order of asking."""
    for instance_id, asked_by in plan.state.stop_asks.items():
        instance = plan.state.instances[instance_id]
        if instance_id in plan.stopped:
            continue
        plan.stop(instance, plan.reason("asked_by_hand", {}), cause=asked_by)
    for ask in plan.state.asks.values():
        if plan.full:
            return
        _answer(plan, ask)


def _answer(plan: Plan, ask: Ask) -> None:
    model, node = plan.state.models.get(ask.model_id), plan.state.nodes.get(ask.node_id)
    if model is None:
        _refuse(plan, ask, "no_such_model", {})
    elif node is None or node.deleted:
        _refuse(plan, ask, "no_such_node", {})
    elif plan.live(model) >= model.max_instances:
        numbers: Numbers = {"instances": plan.live(model), "max": model.max_instances}
        _refuse(plan, ask, "at_max_instances", numbers)
    elif not node.supports(model.name):
        _refuse(plan, ask, "model_not_supported", {"model_name": model.name})
    else:
        _place(plan, ask, model, node)


def _place(plan: Plan, ask: Ask, model: Model, node: Node) -> None:
    free = plan.room.free_on(node)
    gpus = [gpu for gpu in free if ask.gpu_index in (None, gpu.index)]
    if not gpus:
        _refuse(plan, ask, *_why_not(plan, ask, node))
        return
    numbers: Numbers = {"gpu_index": gpus[0].index, "free_gpus": len(free)}
    plan.start(
        model,
        [Spot(node, gpus[0], len(free))],
        plan.reason("asked_by_hand", numbers),
        ask=ask,
    )


def _why_not(plan: Plan, ask: Ask, node: Node) -> tuple[str, Numbers]:
    """Return the code and numbers for there being no GPU to give: the first cause by index."""
    known = sorted((plan.state.gpus[uuid] for uuid in node.gpus), key=_place_of)
    asked = [gpu for gpu in known if ask.gpu_index in (None, gpu.index)]
    if not asked:
        return "no_such_gpu", {"gpu_index": ask.gpu_index, "gpus": len(known)}
    cause = asked[0].cause
    held_by = asked[0].held_by
    numbers: Numbers = {"gpu_index": asked[0].index, "held_by": held_by, "gpus": len(asked)}
    return ("taken_before" if cause == FREE else f"gpu_{cause}"), numbers


def _place_of(gpu: Gpu) -> tuple[int, str]:
    return (gpu.index, gpu.uuid)


def _refuse(plan: Plan, ask: Ask, code: str, numbers: Numbers) -> None:
    refused = InstanceStartRefused(
        ask_id=ask.ask_id,
        model_id=ask.model_id,
        reason=plan.reason(code, {**numbers, "node_id": ask.node_id}),
    )
    draft = Draft(f"ask/{ask.ask_id}", refused).because(ask.asked_by)
    plan.proposals.append((draft,))

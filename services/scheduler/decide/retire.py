"""Phase 2: instances without a model, on a node that left, or above their model's maximum."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.scheduler.state.entities import Instance, Model
    from services.scheduler.state.plan import Plan


def retire(plan: Plan) -> None:
    """Stop what must go at once, and one instance of each model that has too many."""
    for instance_id, code in plan.state.leaving.items():
        instance = plan.state.instances[instance_id]
        plan.stop(instance, plan.reason(code, {}), cause=instance.leaving_by)
    for model in plan.state.models.values():
        if plan.live(model) > model.max_instances and not plan.in_flight(model):
            _shrink(plan, model)


def _shrink(plan: Plan, model: Model) -> None:
    """Stop one: unpinned before pinned, then the newest."""
    mine = [plan.state.instances[instance_id] for instance_id in reversed(model.instances)]
    ready = [instance for instance in mine if instance.kind == "ready"]
    instance = min(ready, key=_pinned)
    numbers = {"instances": plan.live(model), "max": model.max_instances}
    plan.stop(instance, plan.reason("above_max_instances", numbers), cause=model.defined_by)


def _pinned(instance: Instance) -> bool:
    return instance.pinned

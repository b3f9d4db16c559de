"""Give GPUs to the models whose queued work takes longest, and every model its floor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from services.scheduler.state.attempts import Attempts

if TYPE_CHECKING:
    from contracts.policies import BusyQueueScaling
    from services.scheduler.state.entities import Model
    from services.scheduler.state.plan import Numbers, Plan


@dataclass(frozen=True, slots=True)
class Demand:
    """What a model's queue asks for: its mean length, and how long that takes (s)."""

    model: Model
    mean: float
    wait_s: float
    weight: float
    numbers: Numbers


def busy_queue_scaling(plan: Plan, parameters: BusyQueueScaling) -> None:
    """Plan starts and stops for every model, in five steps.

    Wait (s) = mean queue length of the window x mean inference time; busy when over the threshold.
    Source: the rule of the same name of the platform this replaces; step 5 goes beyond it.
    """
    attempts = Attempts(
        plan,
        idle_s=parameters.idle_s,
        stale_s=parameters.stale_s,
        retry_base_s=parameters.retry_base_s,
    )
    demands = measured(plan, parameters)
    # 1. Busy models without an instance, most requested first, get free GPUs.
    starving = [
        each
        for each in demands
        if each.mean > 0
        and each.wait_s > parameters.busy_threshold_s
        and plan.live(each.model) == 0
        and not plan.in_flight(each.model)
        and not attempts.start(
            each.model, "busy_without_instance", each.numbers, each.model.busy_by
        )
    ]
    # 2. Models below their floor get free GPUs.
    short = [
        each
        for each in demands
        if plan.live(each.model) < each.model.floor
        and each.model.model_id not in plan.shortfalls
        and not plan.in_flight(each.model)
        and not attempts.start(
            each.model, _floor_code(each.model), each.numbers, each.model.short_by
        )
    ]
    # 3. The busy ones left over replace instances of models that nobody asks anything.
    for each in starving:
        attempts.replace(each.model, "busy_without_instance", each.numbers, surplus_only=False)
    # 4. The floors left over replace idle instances above the floors of others.
    for each in short:
        attempts.replace(each.model, "below_floor", each.numbers, surplus_only=True)
    # 5. GPUs that no floor needs go to further instances of the busiest models.
    if parameters.scale_out:
        attempts.hold(each.model for each in demands if plan.live(each.model) < each.model.floor)
        _scale_out(plan, attempts, demands, parameters.busy_threshold_s)


def measured(plan: Plan, parameters: BusyQueueScaling) -> list[Demand]:
    """Return every model's demand: most requested first (mean x weight), then model id."""
    since_s = plan.now_s - parameters.window_s
    demands = []
    for model in plan.state.models.values():
        mean, samples = model.samples.mean(since_s)
        wait_s = mean * model.average_inference_time_s
        numbers: Numbers = {
            "mean_length": mean,
            "samples": samples,
            "average_inference_time_s": model.average_inference_time_s,
            "wait_s": wait_s,
            "busy_threshold_s": parameters.busy_threshold_s,
            "instances": plan.live(model),
            "floor": model.floor,
        }
        weight = parameters.weights.get(model.model_id, 1.0)
        demands.append(Demand(model, mean, wait_s, weight, numbers))
    return sorted(demands, key=lambda each: (-each.mean * each.weight, each.model.model_id))


def numbers_by_model(plan: Plan, parameters: BusyQueueScaling) -> dict[str, Numbers]:
    """Return the numbers each model is judged by, most requested first."""
    return {each.model.model_id: each.numbers for each in measured(plan, parameters)}


def _floor_code(model: Model) -> str:
    return "instance_unreachable" if model.counts["unreachable"] else "below_floor"


def _scale_out(
    plan: Plan, attempts: Attempts, demands: list[Demand], busy_threshold_s: float
) -> None:
    """Give busy models one more instance: longest wait per instance first, then model id."""
    loaded = [
        (each.wait_s / each.model.counts["ready"], each)
        for each in demands
        if each.mean > 0 and each.model.counts["ready"] and not plan.in_flight(each.model)
    ]
    for wait_s, each in sorted(loaded, key=lambda pair: (-pair[0], pair[1].model.model_id)):
        model = each.model
        if wait_s <= busy_threshold_s or plan.live(model) < model.floor:
            continue
        numbers = {**each.numbers, "wait_per_instance_s": wait_s, "max": model.max_instances}
        if plan.live(model) >= model.max_instances:
            plan.lacks(model, "at_max_instances", numbers, cause=model.samples.last)
        else:
            cause = model.samples.last
            attempts.start(model, "busy_scale_out", numbers, cause, may_replace=False)

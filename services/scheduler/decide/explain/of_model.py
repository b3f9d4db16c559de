"""Why a model has the instances it has, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contracts.events.instance import InstanceStartRequested, InstanceStopRequested
from contracts.events.model import ModelDeferred, ModelFloorUnmet
from contracts.types import Reason
from services.scheduler.decide.explain.beside import beside
from services.scheduler.decide.explain.recorded import told
from services.scheduler.decide.explain.view import Found
from services.scheduler.decide.explain.words import listed, plural
from services.scheduler.decide.facts import code_without_strategy, reason_of
from services.scheduler.state.plan import Shortfall

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from contracts.http.explain import ReasonTold
    from services.scheduler.decide.explain.view import View
    from services.scheduler.state.entities import Model

SATISFIED = frozenset({"enough", "not_busy", "nothing_asked", "nothing_known"})


def of_model(view: View) -> Found:
    """Return why; of a deleted model, that it was."""
    model = view.state.models.get(view.subject.id)
    if model is None:
        return _gone(view)
    reason = _now(view, model)
    status = _status(view, model, reason)
    dominant = _dominant(view, model, reason)
    rest = [*beside(view, model, reason), *_open(view, model), *_lives(view, model)]
    reasons = [dominant, *(each for each in rest if not _is_same(each, dominant))]
    return Found(status, dominant.sentence, reasons, reason.alternatives, reason.rejected)


def _dominant(view: View, model: Model, reason: Reason) -> ReasonTold:
    """Return what is said first: the start that is under way, or what holds at this moment."""
    text = _sentence(view, model, reason)
    fact = view.latest(InstanceStartRequested.type, model_id=model.model_id)
    if reason.code == "starting" and fact is not None:
        return told(fact, view.names).model_copy(update={"sentence": text})
    dominant = view.now_told(text, reason.code, reason.numbers)
    return dominant.model_copy(update={"strategy": reason.strategy})


def _is_same(one: ReasonTold, other: ReasonTold) -> bool:
    return one.recorded and other.recorded and one.position == other.position


def _gone(view: View) -> Found:
    fact = view.latest("model.deleted") or view.facts[-1]
    reason = told(fact, view.names)
    return Found("deleted", reason.sentence, [reason])


def _now(view: View, model: Model) -> Reason:
    """Return what deciding says of a model at this moment."""
    plan = view.plan
    for drafts in plan.proposals:
        for event in (draft.event for draft in drafts):
            if isinstance(event, InstanceStartRequested) and event.model_id == model.model_id:
                return event.reason.model_copy(update={"code": "about_to_start"})
    why = plan.shortfalls.get(model.model_id)
    action = plan.in_flight(model)
    if why is None and action is not None:
        why = Shortfall(action, _under_way(view, model, action))
    if why is None and plan.live(model) < model.floor:
        why = Shortfall(code_without_strategy(plan))
    if why is not None:
        return reason_of(plan, model, why)
    numbers = {"floor": model.floor, **view.numbers.get(model.model_id, {})}
    if ready := model.counts["ready"]:
        numbers["wait_per_instance_s"] = numbers.get("wait_s", 0.0) / ready
    return plan.reason(_code_of(numbers, ready), numbers)


def _code_of(numbers: Mapping[str, Any], ready: int) -> str:
    """Return why a model needs no more, by what is known of its queue."""
    if not numbers.get("samples"):
        return "nothing_known"
    if not numbers["mean_length"]:
        return "nothing_asked"
    return "enough" if ready else "not_busy"


def _under_way(view: View, model: Model, action: str) -> dict[str, str]:
    if action != "replacement_pending":
        return {}
    gpu = view.state.gpus.get(model.waits_for_gpu or "")
    holder = view.state.instances.get(gpu.held_by or "") if gpu else None
    return {"instance_id": holder.instance_id, "model_id": holder.model_id} if holder else {}


def _status(view: View, model: Model, reason: Reason) -> str:
    if model.counts["requested"] or reason.code == "about_to_start":
        return "starting"
    if view.plan.live(model) < model.floor:
        return "waiting" if model.live == 0 else "short"
    if model.live:
        return "serving"
    return "not_needed" if reason.code in SATISFIED else "waiting"


def _sentence(view: View, model: Model, reason: Reason) -> str:
    if reason.code in ("about_to_start", "starting"):
        return _starting(view, model)
    if model.counts["unreachable"] and not model.live:
        return _out_of_reach(view, model, reason)
    return f"{model.name} {_has(model, reason)}{view.says(reason)}."


def _has(model: Model, reason: Reason) -> str:
    """Return what it has, up to the word before the reason."""
    live = model.live
    has = f"has {plural(live, 'instance') if live else 'no instance'}"
    if reason.code == "replaced":
        return "loses an instance because "
    if reason.code in SATISFIED:
        return f"{has} and needs {'no more' if live else 'none'}: "
    if live < model.floor and live:
        return f"has {live} of {model.floor} required instances because "
    return f"{has} and gets no further one because " if live else f"{has} because "


def _starting(view: View, model: Model) -> str:
    fact = view.latest("instance.start_requested", model_id=model.model_id)
    if model.counts["requested"] and fact is not None:
        reason = Reason.model_validate(fact.data["reason"])
        place = view.names.gpu(fact.data["gpu_uuid"])
        return f"{model.name} is starting on {place} because {view.says(reason)}."
    for drafts in view.plan.proposals:
        event = drafts[-1].event
        if isinstance(event, InstanceStartRequested) and event.model_id == model.model_id:
            place, why = view.names.gpu(event.gpu_uuid), view.says(event.reason)
            return f"{model.name} is to start on {place} at this moment because {why}."
    return f"{model.name} is starting."


def _out_of_reach(view: View, model: Model, reason: Reason) -> str:
    state = view.state
    there = (state.instances[each] for each in model.instances)
    nodes = {each.node_id: None for each in there if each.kind == "unreachable"}
    where = listed([view.names.node(node_id) for node_id in nodes])
    does = "do" if len(nodes) > 1 else "does"
    text = f"{model.name} has no instance within reach because {where} {does} not answer"
    if reason.code in ("instance_unreachable", "no_node_online"):
        return f"{text}: what runs there may still be serving."
    return f"{text}, and no other one because {view.says(reason)}."


def _open(view: View, model: Model) -> Iterator[ReasonTold]:
    """Yield what was told of its floor, or of further instances, and still holds."""
    if model.floor_open is not None:
        fact = view.latest(ModelFloorUnmet.type)
        if fact is not None:
            yield told(fact, view.names)
    if model.deferred is not None and (fact := view.latest(ModelDeferred.type)) is not None:
        yield told(fact, view.names)
    stop = view.latest(InstanceStopRequested.type, model_id=model.model_id)
    start = view.latest(InstanceStartRequested.type, model_id=model.model_id)
    if stop is not None and (start is None or start.position < stop.position):
        yield told(stop, view.names)


def _lives(view: View, model: Model) -> Iterator[ReasonTold]:
    """Yield why each of its instances was started, the newest first."""
    for instance_id in reversed(model.instances):
        fact = view.latest(InstanceStartRequested.type, instance_id=instance_id)
        if fact is not None:
            yield told(fact, view.names)

"""Why a model has the instances it has, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contracts.events.instance import InstanceStartRequested, InstanceStopRequested
from contracts.events.model import ModelDeferred, ModelFloorUnmet
from contracts.types import Reason
from services.scheduler.decide.explain.recorded import told
from services.scheduler.decide.explain.view import Found
from services.scheduler.decide.explain.words import CAUSES, plural, seconds
from services.scheduler.decide.facts import code_without_strategy, reason_of
from services.scheduler.state.plan import Shortfall

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contracts.http.explain import ReasonTold
    from services.scheduler.decide.explain.view import View
    from services.scheduler.state.entities import Model

BLAMED = ("held", "taken_before")


def of_model(view: View) -> Found:
    """Return why; of a deleted model, that it was."""
    model = view.state.models.get(view.subject.id)
    if model is None:
        return _gone(view)
    reason = _now(view, model)
    status = _status(view, model, reason)
    dominant = view.now_told(_sentence(view, model, reason), reason.code, reason.numbers)
    dominant = dominant.model_copy(update={"strategy": reason.strategy})
    rest = [*_beside(view, model, reason), *_open(view, model, reason), *_lives(view, model)]
    return Found(status, dominant.sentence, [dominant, *rest], reason.alternatives, reason.rejected)


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
    is_asked = bool(numbers.get("mean_length"))
    code = "nothing_asked" if not is_asked and not model.live else "enough"
    return plan.reason(code, numbers)


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
    return "not_needed" if reason.code in ("nothing_asked", "enough") else "waiting"


def _sentence(view: View, model: Model, reason: Reason) -> str:
    live, why = model.live, view.says(reason)
    has = plural(live, "instance") if live else "no instance"
    if reason.code in ("about_to_start", "starting"):
        return _starting(view, model)
    if reason.code == "replaced":
        return f"{model.name} loses an instance because {why}."
    if reason.code in ("enough", "nothing_asked"):
        return f"{model.name} has {has} and needs no more: {why}."
    if live < model.floor and live:
        return f"{model.name} has {live} of {model.floor} required instances because {why}."
    if live:
        return f"{model.name} has {has} and gets no further one because {why}."
    return f"{model.name} has no instance because {why}."


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


def _beside(view: View, model: Model, dominant: Reason) -> Iterator[ReasonTold]:
    """Yield what else stands against it now: its queue, its failures, its nodes, its GPUs."""
    now_s = view.now.timestamp()
    if model.queue_problem is not None:
        problem = model.queue_problem
        text = f"Its queue cannot be read ({problem}): nobody knows how much waits."
        yield view.now_told(text, "queue_unreachable", {"problem": problem})
    if model.failures is not None and dominant.code not in ("backing_off", "start_failing"):
        count, ago = model.failures.count, now_s - model.failures.last_s
        text = (
            f"Its last {plural(count, 'start')} failed, {seconds(ago)} ago by {model.last_error}."
        )
        yield view.now_told(
            text, "start_failed", {"failures": count, "ago_s": ago, "error": model.last_error}
        )
    if unreachable := model.counts["unreachable"]:
        where = plural(unreachable, "instance")
        text = f"{where} of it on a node out of reach: not counted as serving."
        yield view.now_told(text, "instance_unreachable", {"instances": unreachable})
    if view.plan.live(model) >= model.floor and model.live and not dominant.rejected:
        return
    for cause, count in view.plan.ruled_out(model).items():
        text = f"{plural(count, 'GPU')} that could serve it: {CAUSES.get(cause, cause)}."
        yield view.now_told(text, f"gpu_{cause}", {"gpus": count})


def _open(view: View, model: Model, dominant: Reason) -> Iterator[ReasonTold]:
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
    del dominant


def _lives(view: View, model: Model) -> Iterator[ReasonTold]:
    """Yield why each of its instances was started, the newest first."""
    for instance_id in reversed(model.instances):
        fact = view.latest(InstanceStartRequested.type, instance_id=instance_id)
        if fact is not None:
            yield told(fact, view.names)

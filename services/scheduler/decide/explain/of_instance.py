"""Why an instance runs, starts, stops or has ended, and what became of its model's work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contracts.catalogue import read
from contracts.events import instance as i
from services.scheduler.decide.explain.recorded import told
from services.scheduler.decide.explain.view import Found

if TYPE_CHECKING:
    from contracts.envelope import Recorded
    from contracts.http.explain import ReasonTold
    from contracts.types import Reason
    from services.scheduler.decide.explain.view import View

ENDS = (i.InstanceDied.type, i.InstanceStartFailed.type, i.InstanceStopped.type)


def of_instance(view: View) -> Found:
    """Return why, from the facts in its stream: the last one that matters dominates."""
    mine = {"instance_id": view.subject.id}
    start = view.latest(i.InstanceStartRequested.type, **mine)
    stop = view.latest(i.InstanceStopRequested.type, **mine)
    end = view.latest(*ENDS, **mine)
    ready = view.latest(i.InstanceStarted.type, **mine)
    moved = view.latest(i.InstanceStartRequested.type) if end is not None else None
    is_unwanted = end is not None and end.type != i.InstanceStopped.type
    ranked = [end if is_unwanted else None, stop, end, _later(moved, end), start, ready]
    facts = list(dict.fromkeys(fact.position for fact in ranked if fact is not None))
    by_position = {fact.position: fact for fact in view.facts}
    reasons = [told(by_position[position], view.names) for position in facts]
    if moved is not None and _later(moved, end) is not None:
        reasons = [_again(each, moved) for each in reasons]
    status = _status(view, start, stop, end, ready)
    dominant = _reason_of(stop if stop and not is_unwanted else start)
    sentence = _sentence(view, status, start, reasons[0].sentence)
    if status == "unreachable":
        numbers = {"node_id": view.state.instances[view.subject.id].node_id}
        reasons.insert(0, view.now_told(sentence, "instance_unreachable", numbers))
    elif sentence != reasons[0].sentence:
        reasons[0] = reasons[0].model_copy(update={"sentence": sentence})
    return Found(
        status,
        sentence,
        reasons,
        dominant.alternatives if dominant else (),
        dominant.rejected if dominant else {},
    )


def _again(reason: ReasonTold, moved: Recorded) -> ReasonTold:
    """Say of the start of another instance that it is another's."""
    if reason.position != moved.position:
        return reason
    other = moved.data["instance_id"]
    sentence = reason.sentence.replace(" was started on", f" was started again, as {other}, on", 1)
    return reason.model_copy(update={"sentence": sentence})


def _later(moved: Recorded | None, end: Recorded | None) -> Recorded | None:
    """Return the start of another instance of the same model, if one came after the end."""
    return moved if moved and end and moved.position > end.position else None


def _status(
    view: View,
    start: Recorded | None,
    stop: Recorded | None,
    end: Recorded | None,
    ready: Recorded | None,
) -> str:
    if end is not None:
        ended = {i.InstanceDied.type: "died", i.InstanceStartFailed.type: "failed"}
        return ended.get(end.type, "stopped")
    if stop is not None:
        return "stopping"
    instance = view.state.instances.get(view.subject.id)
    if instance is not None and instance.kind == "unreachable":
        return "unreachable"
    return "running" if ready is not None else "starting" if start is not None else "unknown"


def _sentence(view: View, status: str, start: Recorded | None, dominant: str) -> str:
    if start is None or status not in ("running", "starting", "unreachable"):
        return dominant
    event: Any = read(start)
    place = view.names.gpu(event.gpu_uuid, event.gpu_index)
    why = view.says(event.reason)
    if status == "unreachable":
        node = view.names.node(event.node_id)
        return f"{event.model_name} may still be serving on {place}, but {node} does not answer."
    verb = "runs" if status == "running" else "is starting"
    return f"{event.model_name} {verb} on {place} because {why}."


def _reason_of(fact: Recorded | None) -> Reason | None:
    return getattr(read(fact), "reason", None) if fact is not None else None

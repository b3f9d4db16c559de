"""Why an instance runs, starts, stops or has ended, and what became of its model's work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from contracts.catalogue import read
from contracts.events import instance as i
from services.scheduler.decide.explain.recorded import told, why
from services.scheduler.decide.explain.view import Found

if TYPE_CHECKING:
    from contracts.envelope import Recorded
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
    status = _status(view, start, stop, end, ready)
    dominant = _reason_of(stop if stop and not is_unwanted else start)
    return Found(
        status,
        _sentence(view, status, start, reasons[0].sentence),
        reasons,
        dominant.alternatives if dominant else (),
        dominant.rejected if dominant else {},
    )


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
    because = why(event.reason, view.names)
    if status == "unreachable":
        return f"{event.model_name} runs on {place}, whose node is out of reach: nobody can tell."
    verb = "runs" if status == "running" else "is starting"
    return f"{event.model_name} {verb} on {place} because {because}."


def _reason_of(fact: Recorded | None) -> Reason | None:
    return getattr(read(fact), "reason", None) if fact is not None else None

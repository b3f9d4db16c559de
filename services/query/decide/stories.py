"""What one story is called: `ran 14:02 to 14:40 on GPU 3 of node-1 (38 min)`, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from services.query.decide.reasons import failure, reason
from services.query.decide.spoken import clock, count, duration, first_line, span
from services.query.decide.words import what

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from contracts.envelope import Recorded
    from services.query.decide.spans import Span


def told(story: Span, kind: str) -> str:
    """Return a story in words, as they are said in the history of a `kind`."""
    if story.rule is None:
        return what(story.events[0])
    return _STORIES[story.rule.code](story, kind)


def of_type(story: Span, *types: str) -> Recorded | None:
    """Return the first event of a story that is of one of these types."""
    return next((event for event in story.events if event.type in types), None)


def _run(story: Span, kind: str) -> str:
    """Return where a worker ran and for how long, and how it ended."""
    wanted, started = (
        of_type(story, f"instance.{each}") for each in ("start_requested", "started")
    )
    end, first = ending(story), story.events[0]
    who = _who(story, kind)
    place = _place(wanted or first, kind)
    if end is None:
        since = clock((started or first).recorded_at)
        stopping = of_type(story, "instance.stop_requested")
        if stopping is not None:
            return f"{who}is being stopped since {clock(stopping.recorded_at)}{place}"
        return f"{who}{'runs' if started else 'is starting'} since {since}{place}"
    how = _how(story, end)
    if started is None:
        at = clock(end.recorded_at)
        verb = "did not start" if end.type != "instance.stopped" else "was stopped before it served"
        return f"{who}{verb}{place} at {at}{how}"
    return f"{who}ran {_time(started.recorded_at, end.recorded_at, place)}{how}"


def ending(story: Span) -> Recorded | None:
    """Return the event that ended a story, or None while it goes on."""
    if story.rule is None:
        return story.events[0]
    return of_type(story, *sorted(story.rule.closes))


def _who(story: Span, kind: str) -> str:
    """Return which worker it is, where the history is not its own."""
    data = story.events[0].data
    named = of_type(story, "instance.start_requested")
    model = named.data["model_name"] if named else data.get("model_id", "")
    instance = str(data["instance_id"])
    if kind == "instance":
        return ""
    return f"{instance} " if kind in ("model", "queue") else f"{model} ({instance}) "


def _place(event: Recorded, kind: str) -> str:
    if kind == "gpu":
        return ""
    index = event.data.get("gpu_index")
    gpu = event.data.get("gpu_uuid") if index is None else index
    return f" on GPU {gpu}" if kind == "node" else f" on GPU {gpu} of {event.data.get('node_id')}"


def _how(story: Span, end: Recorded) -> str:
    if (why := failure(end.type, end.data)) is not None:
        return f": {why}"
    stop = of_type(story, "instance.stop_requested")
    return f"; stopped: {reason(stop.data['reason'])}" if stop else ""


def _time(began: datetime, ended: datetime, place: str = "") -> str:
    return f"{span(began, ended)}{place} ({duration((ended - began).total_seconds())})"


def _interval(was: str, now: str) -> Callable[[Span, str], str]:
    """Return what tells an interval: over and done, or going on. {name} is of its first event."""

    def words(story: Span, kind: str) -> str:
        del kind
        first, end = story.events[0], ending(story)
        data: dict[str, Any] = dict(first.data)
        for name in ("error", "detail", "because"):
            if isinstance(data.get(name), str):
                data[name] = first_line(data[name], 120)
        data["reason"] = reason(first.data["reason"]) if "reason" in first.data else ""
        if end is None:
            return now.format(since=clock(first.recorded_at), **data)
        return was.format(time=_time(first.recorded_at, end.recorded_at), **data)

    return words


def _alert(story: Span, kind: str) -> str:
    del kind
    raised, end = of_type(story, "alert.raised"), ending(story)
    first = raised or story.events[0]
    summary = first_line(first.data.get("summary", first.data["alert_id"]))
    told_to = {e.data["webhook_id"] for e in story.events if e.type == "alert.delivered"}
    delivered = f", {count(len(told_to), 'webhook')} told" if told_to else ""
    if end is None:
        return f"alert since {clock(first.recorded_at)}: {summary}{delivered}"
    return f"alert {_time(first.recorded_at, end.recorded_at)}: {summary}{delivered}"


_STORIES: dict[str, Callable[[Span, str], str]] = {
    "run": _run,
    "alert": _alert,
    "offline": _interval(
        "node {node_id} was offline {time}: {error}",
        "node {node_id} is offline since {since}: {error}",
    ),
    "quarantine": _interval(
        "GPU {gpu_uuid} was in quarantine {time}: {because}",
        "GPU {gpu_uuid} is in quarantine since {since}: {because}",
    ),
    "below_floor": _interval(
        "model {model_id} was below its floor of {floor} {time}: {reason}",
        "model {model_id} is below its floor of {floor} since {since}: {reason}",
    ),
    "queue_unreachable": _interval(
        "queue of {model_id} could not be read {time}: {detail}",
        "queue of {model_id} cannot be read since {since}: {detail}",
    ),
    "active": _interval(
        "strategy {strategy_id} was active {time}", "strategy {strategy_id} is active since {since}"
    ),
}

"""A history told in stories: runs, restarts, times offline, alerts, changes by the same hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from contracts.http.history import Group
from services.query.decide.lines import FEW, mention
from services.query.decide.reasons import failure
from services.query.decide.spoken import count, duration
from services.query.decide.stories import ending, told
from services.query.decide.words import what, why

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from services.query.decide.lines import Around
    from services.query.decide.spans import Span

TOGETHER_S = 600.0  # what follows within ten minutes belongs together
_CHANGES = frozenset(
    {
        "environment.updated",
        "model.updated",
        "model.deferred",
        "node.updated",
        "node.inventory_changed",
        "strategy.configured",
    }
)
_ABOUT = ("environment", "model", "node", "gpu", "instance", "strategy", "alert", "webhook")


@dataclass(frozen=True, slots=True)
class _Alike:
    """What makes stories one: runs of a model that failed alike, changes by the same hand."""

    code: str
    key: Hashable
    why: str | None


def groups(stories: Sequence[Span], kind: str, around: Around) -> list[Group]:
    """Return stories, in the order given, as they are told in the history of a `kind`."""
    return [_group(each, kind, around) for each in _gathered(stories)]


def _gathered(stories: Sequence[Span]) -> list[list[Span]]:
    """Return stories that are alike, and follow each other closely, in one list."""
    found: list[list[Span]] = []
    latest: dict[Hashable, tuple[_Alike, list[Span]]] = {}
    for story in stories:
        alike = _alike(story)
        known = latest.get(alike.key) if alike else None
        if alike and known and known[0] == alike and _close(known[1][-1], story):
            known[1].append(story)
            continue
        found.append([story])
        latest.pop(_place_of(story), None)  # something else of the same kind came between
        if alike:
            latest[alike.key] = alike, found[-1]
    return found


def _place_of(story: Span) -> Hashable:
    """Return whose turn a story is: of a model's runs, or of a stream's changes."""
    first = story.events[0]
    if story.rule is not None and story.rule.code == "run":
        return "run", first.data.get("model_id") or story.events[-1].data.get("model_id")
    return first.type, first.stream


def _alike(story: Span) -> _Alike | None:
    first = story.events[0]
    if story.rule is None and first.type in _CHANGES:
        return _Alike("changes", _place_of(story), first.meta.actor)
    if story.rule is None or story.rule.code != "run":
        return None
    end = ending(story)
    failed = failure(end.type, end.data) if end else None
    return _Alike("restarts", _place_of(story), failed) if failed else None


def _close(one: Span, other: Span) -> bool:
    earlier, later = sorted((one, other), key=lambda each: each.events[0].position)
    gap = later.events[0].recorded_at - earlier.events[-1].recorded_at
    return gap.total_seconds() <= TOGETHER_S


def _group(stories: list[Span], kind: str, around: Around) -> Group:
    stories = sorted(stories, key=lambda each: each.events[0].position)
    first, newest = stories[0].anchors[0], stories[-1]
    end = ending(newest)
    last = end or newest.anchors[-1]
    effects = around.effects.get(last.event_id, ())
    is_restarted = any(effect.type == "instance.start_requested" for effect in effects)
    lasted_s = (last.recorded_at - first.recorded_at).total_seconds()
    code, words = _words(stories, kind, lasted_s, is_restarted=is_restarted)
    return Group(
        code=code,
        what=words,
        who=first.meta.actor,
        why=why(first) if code in ("event", "run") else None,
        began_at=first.recorded_at,
        ended_at=last.recorded_at if end else None,
        lasted_s=lasted_s if end else None,
        events=sum(len(each.events) for each in stories),
        first=mention(first),
        last=mention(last),
        led_to=tuple(mention(effect) for effect in effects[:FEW]),
        about=_about(stories),
    )


def _words(
    stories: list[Span], kind: str, lasted_s: float, *, is_restarted: bool
) -> tuple[str, str]:
    """Return what a group is, and its sentence."""
    one, alike = stories[0], _alike(stories[0])
    if len(stories) == 1 or alike is None:
        return one.rule.code if one.rule else "event", told(one, kind)
    if alike.code == "changes":
        times = count(len(stories), "time")
        return "changes", f"{what(one.events[0])}, {times} in {duration(lasted_s)}"
    model = "" if kind in ("model", "queue") else f"{_model(one)} "
    did = "restarted" if is_restarted else "failed"
    times = f"{len(stories)} times in {duration(lasted_s)}"
    return "restarts", f"{model}{did} {times}: {alike.why}"


def _model(story: Span) -> str:
    names = [event.data.get("model_name") for event in story.events]
    return next((name for name in names if name), "") or str(story.events[0].data.get("model_id"))


def _about(stories: list[Span]) -> dict[str, str]:
    """Return the ids that all events of a group which have one agree on."""
    events = [event for story in stories for event in story.events]
    found = {}
    for kind in _ABOUT:
        field = "gpu_uuid" if kind == "gpu" else f"{kind}_id"
        ids = {event.data[field] for event in events if event.data.get(field)}
        if len(ids) == 1:
            found[kind] = str(*ids)
    return found

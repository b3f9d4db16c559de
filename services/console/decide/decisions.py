"""Decisions in a line each: what, of which model, why, and what lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.console.decide.places import page_of
from services.console.decide.reasons import numbers, sentence
from services.console.decide.spoken import ago, clock, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

_WHAT = {
    "instance.start_requested": ("start", "Start"),
    "instance.start_refused": ("refuse", "Refuse to start"),
    "instance.stop_requested": ("stop", "Stop"),
    "model.deferred": ("wait", "Wait"),
    "model.floor_unmet": ("alarm", "Floor missed"),
    "model.floor_met": ("good", "Floor met"),
    "gpu.allocated": ("start", "Give a GPU"),
    "gpu.freed": ("good", "Free a GPU"),
}
_WAVERS = "model.deferred"


@dataclass(frozen=True)
class DecisionRow:
    """A decision."""

    position: int
    at: str
    ago: str
    kind: str
    what: str
    model: str
    model_page: str
    colour: int | None
    because: str
    strategy: str
    numbers: Sequence[tuple[str, str]]
    lost: Sequence[tuple[str, str]]
    rejected: Sequence[tuple[str, int]]
    instance_page: str | None
    times: int = 1


def decision_rows(
    decisions: Iterable[Mapping[str, Any]],
    names: Mapping[str, str],
    of_model: Mapping[str, int],
    now: datetime,
) -> list[DecisionRow]:
    """Return decisions as lines; names of models by id."""
    return [_row(each, names, of_model, now) for each in decisions]


def calm_rows(
    decisions: Iterable[Mapping[str, Any]],
    names: Mapping[str, str],
    of_model: Mapping[str, int],
    now: datetime,
    most: int,
) -> list[DecisionRow]:
    """Return so many decisions as lines, those that only waver told once."""
    found = calm(decisions, most)
    return [_row(each, names, of_model, now, times) for each, times in found]


def calm(decisions: Iterable[Mapping[str, Any]], most: int) -> list[tuple[Mapping[str, Any], int]]:
    """Return so many decisions, with how often: those that only waver, there and back, are one.

    The newest of them stands for all, until something else happens to its model.
    """
    found: list[tuple[Mapping[str, Any], int]] = []
    wavering: dict[str, int] = {}
    for each in decisions:
        model_id = str(each.get("model_id") or "")
        if each.get("type") != _WAVERS:
            wavering.pop(model_id, None)
        elif model_id in wavering:
            place = wavering[model_id]
            found[place] = (found[place][0], found[place][1] + 1)
            continue
        else:
            wavering[model_id] = len(found)
        found.append((each, 1))
    return found[:most]


def _row(
    said: Mapping[str, Any],
    names: Mapping[str, str],
    of_model: Mapping[str, int],
    now: datetime,
    times: int = 1,
) -> DecisionRow:
    reason = said.get("reason") or {}
    model_id = str(said.get("model_id") or "")
    kind, what = _WHAT.get(str(said.get("type")), ("other", words(str(said.get("type")))))
    if kind == "wait" and reason.get("code") == "no_longer_wanted":
        kind, what = "good", "Wait over"
    stream = str(said.get("stream") or "")
    return DecisionRow(
        position=int(said["position"]),
        at=clock(said.get("at"), now),
        ago=ago(said.get("at"), now),
        kind=kind,
        what=what,
        model=names.get(model_id, model_id),
        model_page=page_of("model", model_id) or "/models",
        colour=of_model.get(model_id),
        because=sentence(reason),
        strategy=str(reason.get("strategy") or ""),
        numbers=numbers(reason),
        lost=[
            (str(each.get("subject")), sentence(each)) for each in reason.get("alternatives") or ()
        ],
        rejected=[(words(code), int(n)) for code, n in (reason.get("rejected") or {}).items()],
        instance_page=page_of("instance", stream.partition("/")[2])
        if stream.startswith("instance/")
        else None,
        times=times,
    )

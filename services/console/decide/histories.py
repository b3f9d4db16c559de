"""An entity's history: stories with a beginning and an end, or single events."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.console.decide.places import page_of, page_of_stream
from services.console.decide.reasons import sentence
from services.console.decide.spoken import ago, clock, duration, quantity, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

_TONES = {
    "alert": "bad", "below_floor": "bad", "offline": "bad", "quarantine": "bad",
    "queue_unreachable": "bad", "restarts": "warn", "run": "good", "active": "good",
}  # fmt: skip
_ID = re.compile(r"\b(mdl|nod|env|str)-[0-9a-z]+\b")
_ABOUT = ("instance", "model", "node", "gpu", "alert", "environment", "strategy")


@dataclass(frozen=True)
class Story:
    """One story, or one event."""

    what: str
    why: str
    who: str
    at: str
    ago: str
    lasted: str
    tone: str
    position: int
    links: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class EventRow:
    """One event as it stands in the log."""

    position: int
    at: str
    type: str
    family: str
    stream: str
    kind: str
    about: str
    page: str | None
    actor: str
    said: Sequence[tuple[str, str]]


def stories(
    items: Iterable[Mapping[str, Any]], names: Mapping[str, str], now: datetime
) -> list[Story]:
    """Return what /history says, in groups, with names in the place of ids."""
    return [_story(each, names, now) for each in items]


def event_rows(
    events: Iterable[Mapping[str, Any]], names: Mapping[str, str], now: datetime
) -> list[EventRow]:
    """Return events of the log as lines; names of things by id."""
    return [event_row(each, names, now) for each in events]


def event_row(event: Mapping[str, Any], names: Mapping[str, str], now: datetime) -> EventRow:
    """Return one event as a line; what it says first of all: names, reasons, counts."""
    data, type_ = event.get("data") or {}, str(event["type"])
    kind, _, id_ = str(event["stream"]).partition("/")
    return EventRow(
        position=int(event["position"]),
        at=clock(event.get("recorded_at"), now),
        type=type_,
        family=type_.partition(".")[0],
        stream=str(event["stream"]),
        kind=words(kind.replace("-", " ")),
        about=names.get(id_, id_),
        page=page_of_stream(str(event["stream"])),
        actor=str((event.get("meta") or {}).get("actor") or ""),
        said=_said(data, id_, names),
    )


def _said(data: Mapping[str, Any], id_: str, names: Mapping[str, str]) -> list[tuple[str, str]]:
    found = []
    for name, value in data.items():
        if isinstance(value, dict):
            if name == "reason":
                found.append(("because", sentence(value)))
        elif isinstance(value, list):
            found.append((name, f"{len(value)} items"))
        elif value not in (None, "", id_):
            found.append((_plain(name), names.get(str(value), _value(name, value))))
    return found[:6]


def _plain(name: str) -> str:
    return words(name.removesuffix("_id").removesuffix("_s"))


def _value(name: str, value: Any) -> str:
    said = str(value)
    return quantity(name, value) if isinstance(value, int | float) else said[:60]


def _story(said: Mapping[str, Any], names: Mapping[str, str], now: datetime) -> Story:
    first = said.get("first") or {}
    began = said.get("began_at") or said.get("at")
    seconds = said.get("lasted_s")
    if seconds is not None:
        length = duration(seconds)
    else:
        length = "" if said.get("code") in ("event", "changes") else "still going on"
    about = said.get("about") or {}
    links = [
        (kind, page)
        for kind in _ABOUT
        if kind in about and (page := page_of(kind, str(about[kind])))
    ]
    ongoing = seconds is None and said.get("code") in _TONES
    tone = _TONES.get(str(said.get("code")), "quiet")
    return Story(
        what=_named(str(said.get("what") or ""), names),
        why=_named(str(said.get("why") or ""), names),
        who=str(said.get("who") or ""),
        at=clock(began, now),
        ago=ago(began, now),
        lasted=length,
        tone=tone if ongoing else "quiet",
        position=int(first.get("position") or said.get("position") or 0),
        links=links,
    )


def _named(text: str, names: Mapping[str, str]) -> str:
    return _ID.sub(lambda found: names.get(found[0], found[0]), text)

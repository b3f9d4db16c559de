"""One line an event: who, why, what it came of and what it led to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from contracts.http.history import Line, Mention
from services.query.decide.words import nature, what, why

if TYPE_CHECKING:
    from contracts.envelope import Recorded

FEW = 5


@dataclass(frozen=True, slots=True)
class Around:
    """What is next to some events: their causes by id, and by id what they led to.

    effects: a few more than FEW where there are more.
    """

    causes: Mapping[str, Recorded] = field(default_factory=dict)
    effects: Mapping[str, Sequence[Recorded]] = field(default_factory=dict)


def mention(event: Recorded) -> Mention:
    """Return an event in one sentence."""
    return Mention(
        position=event.position,
        event_id=event.event_id,
        type=event.type,
        at=event.recorded_at,
        what=what(event),
        nature=nature(event),
    )


def line(event: Recorded, around: Around) -> Line:
    """Return an event with what is next to it."""
    cause = cause_of(event, around.causes)
    effects = around.effects.get(event.event_id, ())
    return Line(
        **dict(mention(event)),
        stream=event.stream,
        who=event.meta.actor,
        why=why(event),
        caused_by=mention(cause) if cause else None,
        led_to=tuple(mention(effect) for effect in effects[:FEW]),
        led_to_more=len(effects) > FEW,
    )


def cause_of(event: Recorded, known: Mapping[str, Recorded]) -> Recorded | None:
    """Return what led to an event; only what was recorded before it can have."""
    cause = known.get(event.meta.causation_id or "")
    return cause if cause is not None and cause.position < event.position else None

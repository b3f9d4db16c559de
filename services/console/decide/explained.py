"""An explanation: the sentence, every reason behind it, what lost, and what would change it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.console.decide.places import page_of
from services.console.decide.reasons import numbers
from services.console.decide.spoken import clock, quantity, words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

_STATUS = {
    "serving": "good", "ready": "good", "held": "good", "online": "good", "free": "quiet",
    "starting": "busy", "requested": "busy", "stopping": "busy", "pending": "warn",
    "waiting": "warn", "below_floor": "bad", "offline": "bad", "quarantined": "bad",
    "failed": "bad", "died": "bad", "stopped": "quiet",
}  # fmt: skip


@dataclass(frozen=True)
class ReasonShown:
    """One reason, and the position where it stands in the log."""

    sentence: str
    numbers: Sequence[tuple[str, str]]
    position: int
    at: str
    is_recorded: bool


@dataclass(frozen=True)
class ChangeShown:
    """What would change it: today's number and the needed one."""

    sentence: str
    field: str
    today: str
    needed: str
    does: str


@dataclass(frozen=True)
class Explained:
    """All of an explanation."""

    kind: str
    id: str
    name: str
    status: str
    tone: str
    sentence: str
    reasons: Sequence[ReasonShown]
    lost: Sequence[tuple[str, str, str | None]]
    rejected: Sequence[tuple[str, int]]
    changes: Sequence[ChangeShown]
    tried: int
    position: int


def explained(said: Mapping[str, Any], now: datetime) -> Explained:
    """Return what a page shows of what /explain says."""
    return Explained(
        kind=str(said["kind"]),
        id=str(said["id"]),
        name=str(said.get("name") or said["id"]),
        status=words(str(said.get("status") or "")),
        tone=_STATUS.get(str(said.get("status")), "quiet"),
        sentence=str(said.get("sentence") or ""),
        reasons=[_reason(each, now) for each in said.get("reasons") or ()],
        lost=[_lost(each) for each in said.get("alternatives") or ()],
        rejected=[(words(code), int(n)) for code, n in (said.get("rejected") or {}).items()],
        changes=[_change(each) for each in said.get("counterfactuals") or ()],
        tried=int(said.get("tried") or 0),
        position=int(said.get("position") or 0),
    )


def _reason(said: Mapping[str, Any], now: datetime) -> ReasonShown:
    return ReasonShown(
        sentence=str(said.get("sentence") or words(str(said.get("code")))),
        numbers=numbers(said),
        position=int(said.get("position") or 0),
        at=clock(said.get("at"), now),
        is_recorded=bool(said.get("recorded", True)),
    )


def _lost(said: Mapping[str, Any]) -> tuple[str, str, str | None]:
    subject = str(said.get("subject") or "")
    kind, _, id_ = subject.partition("/")
    return id_ or subject, str(said.get("sentence") or ""), page_of(kind, id_) if id_ else None


def _change(said: Mapping[str, Any]) -> ChangeShown:
    change, effect = said.get("change") or {}, said.get("effect") or {}
    unit = str(change.get("unit") or "")
    field = str(change.get("field") or "")
    name = f"{field}_s" if unit == "s" else field
    return ChangeShown(
        sentence=str(said.get("sentence") or ""),
        field=words(field),
        today=quantity(name, change.get("today")),
        needed=quantity(name, change.get("needed")),
        does=words(str(effect.get("code") or "")),
    )

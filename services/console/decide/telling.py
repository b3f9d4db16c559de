"""Rows of alert rules, silences and deliveries: what is an alert, and who is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from services.console.decide.places import page_of, page_of_subject
from services.console.decide.spoken import ago, ahead, clock, quantity, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

_STATES = {
    "delivered": ("good", "delivered"),
    "failing": ("warn", "failed, is tried again"),
    "given_up": ("bad", "given up"),
}
_TEST = "alert.test"


@dataclass(frozen=True)
class LimitShown:
    """A limit of a rule: as it is, and as it is unless somebody changed it."""

    name: str
    value: str
    usual: str
    about: str

    @property
    def is_usual(self) -> bool:
        """Whether nobody changed it."""
        return self.value == self.usual


@dataclass(frozen=True)
class RuleRow:
    """An alert rule."""

    id: str
    name: str
    about: str
    is_on: bool
    limits: Sequence[LimitShown]

    @property
    def actions(self) -> list[str]:
        """What can be done to it."""
        change = ["rule.change"] if self.limits else []
        return [*change, "rule.disable" if self.is_on else "rule.enable"]


@dataclass(frozen=True)
class SilenceRow:
    """A silence that lasts."""

    id: str
    rule: str
    subject: str
    subject_page: str | None
    because: str
    begun: str
    ends: str
    ends_at: str


@dataclass(frozen=True)
class DeliveryRow:
    """An attempt to deliver a message to a webhook; can_resend: of the newest of a message."""

    position: int
    at: str
    ago: str
    what: str
    subject: str
    alert_page: str | None
    attempt: int
    tone: str
    state: str
    answer: str
    message_id: str
    asked: str
    can_resend: bool


def rule_rows(rules: Iterable[Mapping[str, Any]]) -> list[RuleRow]:
    """Return alert rules, with their limits."""
    return [
        RuleRow(
            id=str(each["rule"]),
            name=words(str(each["rule"])),
            about=str(each.get("about") or ""),
            is_on=bool(each.get("enabled", True)),
            limits=[
                LimitShown(
                    name=words(name.removesuffix("_s")),
                    value=quantity(name, (each.get("limits") or {}).get(name)),
                    usual=quantity(name, bound.get("default")),
                    about=str(bound.get("about") or ""),
                )
                for name, bound in (each.get("bounds") or {}).items()
            ],
        )
        for each in rules
    ]


def silence_rows(
    silences: Iterable[Mapping[str, Any]], names: Mapping[str, str], now: datetime
) -> list[SilenceRow]:
    """Return silences, the one that ends first before; names of things by id."""
    ordered = sorted(silences, key=lambda each: str(each.get("until")))
    return [
        SilenceRow(
            id=str(each["id"]),
            rule=words(str(each.get("rule") or "")),
            subject=names.get(str(each.get("subject")), str(each.get("subject") or "")),
            subject_page=page_of_subject(str(each.get("subject") or "")),
            because=str(each.get("because") or ""),
            begun=ago(each.get("created_at"), now),
            ends=ahead(each.get("until"), now),
            ends_at=clock(each.get("until"), now),
        )
        for each in ordered
    ]


def delivery_rows(
    deliveries: Iterable[Mapping[str, Any]],
    names: Mapping[str, str],
    kind: str,
    now: datetime,
) -> list[DeliveryRow]:
    """Return deliveries, the newest first; kind: of the webhook, an Alertmanager repeats none."""
    seen: set[str] = set()
    rows = []
    for each in deliveries:
        message_id = str(each.get("message_id") or "")
        repeats = kind == "standard" and message_id not in seen
        rows.append(_delivery(each, names, now, repeats=repeats))
        seen.add(message_id)
    return rows


def _delivery(
    said: Mapping[str, Any], names: Mapping[str, str], now: datetime, *, repeats: bool
) -> DeliveryRow:
    message = said.get("message") or {}
    type_, subject = str(message.get("message_type") or ""), str(message.get("subject") or "")
    tone, state = _STATES.get(str(said.get("state")), ("quiet", words(str(said.get("state")))))
    status = said.get("status_code")
    answer = f"HTTP {status}" if status else ""
    error = str(said.get("error") or "").splitlines()
    return DeliveryRow(
        position=int(said["position"]),
        at=clock(said.get("at"), now),
        ago=ago(said.get("at"), now),
        what=words(type_.removeprefix("alert.")),
        subject="" if type_ == _TEST else names.get(subject, subject),
        alert_page=None if type_ == _TEST else page_of("alert", str(message.get("alert_id") or "")),
        attempt=int(said.get("attempt") or 1),
        tone=tone,
        state=state,
        answer=error[0][:200] if error else answer,
        message_id=str(said.get("message_id") or ""),
        asked="sent again" if said.get("asked") == "again" else "",
        can_resend=repeats and type_ != _TEST,
    )
